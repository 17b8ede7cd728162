"""Key formats by issuer: what the issuers' own documentation and secret-scanning programmes say their keys look like.

A row is the issuer, the fixed beginnings of its keys, and the pattern of what follows one. Every pattern ends where
the key must end. Rows whose keys are hexadecimal or short need the beginning to be rare; formats without any fixed
part (a bare 32-digit value) are no rows here: they are found by the word before them.
"""

from __future__ import annotations

from typing import NamedTuple


class Issued(NamedTuple):
    """`fixed` is the fixed parts, separated by bars; `rest` a regular expression for what follows one; `score` 0 to 1.

    Most keys begin with the fixed part. Where it stands inside, `before` is the expression for what precedes it.
    """

    issuer: str
    fixed: str
    rest: str
    score: float = 0.95
    before: str = ""


_END = r"(?![A-Za-z0-9])"

ISSUED = (
    # Models and machine learning
    Issued("OpenAI", "sk-", r"(?:proj-|svcacct-|admin-|None-)?[\w-]{20,250}", 0.9),
    Issued("Anthropic", "sk-ant-", r"[\w-]{20,250}"),
    Issued("OpenRouter", "sk-or-", r"(?:v1-)?[\w-]{20,100}"),
    Issued("Groq", "gsk_", r"[A-Za-z0-9]{40,100}" + _END),
    Issued("xAI", "xai-", r"[A-Za-z0-9]{60,100}" + _END),
    Issued("Perplexity", "pplx-", r"[A-Za-z0-9]{40,64}" + _END),
    Issued("Hugging Face", "hf_|api_org_", r"[A-Za-z0-9]{30,60}" + _END),
    Issued("Replicate", "r8_", r"[A-Za-z0-9]{37}" + _END),
    Issued("Fireworks", "fw_", r"[A-Za-z0-9]{20,40}" + _END, 0.8),
    Issued("Cerebras", "csk-", r"[a-z0-9]{40,60}" + _END),
    Issued("NVIDIA", "nvapi-", r"[\w-]{60,80}" + _END),
    Issued("Langfuse", "sk-lf-|pk-lf-", r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}" + _END),
    Issued("LangSmith", "lsv2_pt_|lsv2_sk_", r"[0-9a-f]{32}_[0-9a-f]{10}" + _END),
    Issued("Tavily", "tvly-", r"[\w-]{20,64}" + _END, 0.9),
    Issued("Pinecone", "pcsk_", r"\w{40,90}" + _END),
    # Clouds
    Issued("AWS access key id", "AKIA|ASIA|ABIA|ACCA", r"[A-Z2-7]{16}" + _END),
    Issued("AWS Bedrock", "ABSK|bedrock-api-key-", r"[A-Za-z0-9+/=]{60,400}"),
    Issued("AWS MWS", "amzn.mws.", r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}" + _END),
    Issued("Google API key", "AIza", r"[\w-]{35}(?![\w-])"),
    Issued("Google OAuth secret", "GOCSPX-", r"[\w-]{28}(?![\w-])"),
    Issued("Google OAuth token", "ya29.", r"[\w-]{30,400}"),
    Issued("Azure storage and bus", "AccountKey=|SharedAccessKey=", r"([A-Za-z0-9+/]{43,86}={1,2})"),
    Issued("DigitalOcean", "dop_v1_|doo_v1_|dor_v1_", r"[a-f0-9]{64}" + _END),
    Issued("Alibaba Cloud", "LTAI", r"[A-Za-z0-9]{17,21}" + _END),
    Issued("Tencent Cloud", "AKID", r"[A-Za-z0-9]{32}" + _END),
    Issued("Yandex Cloud", "YCAJE|YCANE", r"[\w-]{20}" + _END, 0.9),
    Issued("Yandex Cloud", "AQVN", r"[\w-]{35,38}" + _END, 0.9),
    Issued("Fly.io", "fm2_|fo1_", r"[\w+/=,-]{40,2000}"),
    Issued("Heroku", "HRKU-", r"[\w-]{36,64}" + _END),
    Issued("Render", "rnd_", r"[A-Za-z0-9]{28,40}" + _END, 0.9),
    Issued("Vercel", "vercel_blob_rw_|vcp_", r"\w{24,80}" + _END),
    Issued("Netlify", "nfp_", r"[A-Za-z0-9]{36,40}" + _END),
    Issued("Supabase", "sbp_|sb_secret_", r"[\w-]{20,60}" + _END),
    Issued("PlanetScale", "pscale_tkn_|pscale_pw_|pscale_oauth_", r"[\w=.-]{32,64}"),
    Issued("Neon", "napi_", r"[a-z0-9]{50,80}" + _END),
    Issued("Databricks", "dapi", r"[a-f0-9]{32}(?:-[0-9])?" + _END, 0.9),
    Issued("Scaleway", "SCW", r"[A-Z0-9]{17}" + _END, 0.8),
    Issued("Cloudflare", "v1.0-", r"[a-f0-9]{24}-[a-f0-9]{146}" + _END),
    # Code and packages
    Issued("GitHub", "ghp_|gho_|ghu_|ghs_|ghr_", r"[A-Za-z0-9]{36,250}" + _END),
    Issued("GitHub fine-grained", "github_pat_", r"\w{40,250}"),
    Issued(
        "GitLab", "glpat-|gldt-|glrt-|glcbt-|glptt-|glft-|glimt-|glagent-|glsoat-|gloas-|glffct-", r"[\w.-]{20,250}"
    ),
    Issued("GitLab runner", "GR1348941", r"[\w-]{20}" + _END),
    Issued("Bitbucket and Atlassian", "ATATT3|ATCTT3|ATBB|ATSTT3", r"[A-Za-z0-9_\-=]{24,400}"),
    Issued("npm", "npm_", r"[A-Za-z0-9]{36}(?!\w)"),
    Issued("PyPI", "pypi-AgE", r"[\w-]{50,500}"),
    Issued("RubyGems", "rubygems_", r"[a-f0-9]{48}" + _END),
    Issued("crates.io", "cio", r"[A-Za-z0-9]{32}" + _END, 0.8),
    Issued("NuGet", "oy2", r"[a-z0-9]{43}" + _END, 0.9),
    Issued("Clojars", "CLOJARS_", r"[a-z0-9]{60}" + _END),
    Issued("Docker Hub", "dckr_pat_|dckr_oat_", r"[\w-]{27,40}"),
    Issued("JFrog", "AKCp", r"[A-Za-z0-9]{69}" + _END),
    Issued("JFrog reference", "cmVmdGtuOj", r"[A-Za-z0-9]{54}" + _END),
    Issued("SonarQube", "sqp_|squ_|sqa_", r"[a-f0-9]{40}" + _END),
    Issued("CircleCI", "CCIPAT_|CCIPRJ_", r"[A-Za-z0-9]{20,24}_[a-f0-9]{40}" + _END),
    Issued("Buildkite", "bkua_", r"[a-z0-9]{40}" + _END),
    Issued("Doppler", "dp.pt.|dp.st.|dp.ct.|dp.sa.|dp.scim.|dp.audit.", r"[\w.-]{40,60}"),
    Issued("HashiCorp Vault", "hvs.|hvb.|hvr.", r"[\w-]{24,300}"),
    Issued("Terraform Cloud", ".atlasv1.", r"[\w=-]{60,70}", before=r"[A-Za-z0-9]{14}"),
    Issued("Pulumi", "pul-", r"[a-f0-9]{40}" + _END),
    Issued("1Password", "ops_eyJ", r"[A-Za-z0-9+/=_-]{100,2000}"),
    Issued(
        "1Password secret key", "A3-", r"[A-Z0-9]{6}-(?:[A-Z0-9]{11}|[A-Z0-9]{6}-[A-Z0-9]{5})(?:-[A-Z0-9]{5}){3}" + _END
    ),
    Issued("age", "AGE-SECRET-KEY-1", r"[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58}" + _END),
    Issued("Infracost", "ico-", r"[A-Za-z0-9]{32}" + _END),
    Issued("Prefect", "pnu_|pnb_", r"[A-Za-z0-9]{36}" + _END),
    Issued("Octopus Deploy", "API-", r"[A-Z0-9]{26}" + _END, 0.8),
    Issued("ReadMe", "rdme_", r"[a-z0-9]{70}" + _END),
    Issued("Snyk", "snyk_uat.|snyk_sat.", r"[\w.-]{40,200}"),
    Issued("Sourcegraph", "sgp_|slk_", r"(?:[a-f0-9]{16}_|local_)?[a-f0-9]{40,64}" + _END),
    Issued("Harness", "pat.|sat.", r"[\w-]{22}\.[a-f0-9]{24}\.[A-Za-z0-9]{20}" + _END),
    # Payment
    Issued("Stripe", "sk_live_|sk_test_|rk_live_|rk_test_", r"[A-Za-z0-9]{16,200}"),
    Issued("Stripe webhook", "whsec_", r"[A-Za-z0-9+/=]{20,100}", 0.9),
    Issued("Square", "sq0atp-|sq0csp-|EAAAE", r"[\w-]{22,60}" + _END),
    Issued("Braintree", "access_token$production$|access_token$sandbox$", r"[a-z0-9]{16}\$[0-9a-f]{32}" + _END),
    Issued("Razorpay", "rzp_live_|rzp_test_", r"[A-Za-z0-9]{14}" + _END, 0.9),
    Issued("Flutterwave", "FLWSECK-", r"[A-Za-z0-9]{12,40}-X" + _END),
    Issued("Flutterwave", "FLWSECK_TEST-", r"[a-h0-9]{12,40}(?:-X)?" + _END, 0.9),
    Issued("Plaid", "access-sandbox-|access-development-|access-production-", r"[0-9a-f-]{36}" + _END),
    Issued("GoCardless", "live_|sandbox_", r"[A-Za-z0-9\-_=]{40}" + _END, 0.8),
    Issued("Lob", "live_|test_", r"[a-f0-9]{35}" + _END, 0.8),
    Issued("EasyPost", "EZAK|EZTK", r"[A-Za-z0-9]{54}" + _END),
    Issued("Duffel", "duffel_live_|duffel_test_", r"[\w=-]{43}" + _END),
    Issued("Mollie", "live_|test_", r"[A-Za-z0-9]{30}" + _END, 0.8),
    # Talk and mail
    Issued("Slack", "xoxb-|xoxp-|xoxa-|xoxe-|xoxo-|xoxr-|xoxs-|xoxc-|xoxd-|xoxe.", r"[\w.%-]{10,300}"),
    Issued("Slack app", "xapp-", r"[0-9]-[A-Z0-9]{8,16}-[0-9]{8,16}-[a-z0-9]{32,80}"),
    Issued("Slack webhook", "hooks.slack.com/", r"(?:services|workflows|triggers)/[\w/]{30,120}", 0.9),
    Issued(
        "Discord webhook", "discord.com/api/webhooks/|discordapp.com/api/webhooks/", r"[0-9]{17,20}/[\w-]{60,80}", 0.9
    ),
    Issued("Teams webhook", "webhook.office.com/webhookb2/", r"[\w@-]{73,80}/\w{10,20}/\w{32}/[\w-]{36}", 0.9),
    Issued("SendGrid", "SG.", r"[\w-]{16,32}\.[\w-]{32,64}"),
    Issued("Mailgun", "key-", r"[a-f0-9]{32}" + _END, 0.9),
    Issued("Mailgun", "pubkey-", r"[a-f0-9]{32}" + _END, 0.8),
    Issued("Mailchimp", "-us", r"[0-9]{1,2}" + _END, 0.9, before=r"[0-9a-f]{32}"),
    Issued("Brevo", "xkeysib-|xsmtpsib-", r"[a-f0-9]{64}-[A-Za-z0-9]{16}" + _END),
    Issued("Resend", "re_", r"[A-Za-z0-9]{8}_[A-Za-z0-9]{24}" + _END, 0.9),
    Issued("Twilio", "SK|AC", r"[0-9a-f]{32}" + _END, 0.8),
    Issued("Postman", "PMAK-", r"[a-f0-9]{24}-[a-f0-9]{34}" + _END),
    Issued("Typeform", "tfp_", r"[\w.=-]{40,70}"),
    Issued("Intercom", "dG9rOj", r"[A-Za-z0-9+/=]{20,80}", 0.9),
    Issued("HubSpot", "pat-na1-|pat-na2-|pat-eu1-|pat-ap1-", r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}" + _END),
    Issued("Telegram", ":AA", r"[\w-]{32,34}(?![\w-])", 0.9, before=r"[0-9]{8,10}"),
    Issued("Facebook", "EAACEdEose0cBA|EAAG|EAAB", r"[A-Za-z0-9]{60,400}" + _END, 0.9),
    # Shops, content, documents
    Issued("Shopify", "shpat_|shpca_|shppa_|shpss_", r"[a-fA-F0-9]{32}" + _END),
    Issued("Contentful", "CFPAT-", r"[\w-]{43}" + _END),
    Issued("Notion", "ntn_|secret_", r"[A-Za-z0-9]{40,50}" + _END, 0.9),
    Issued("Airtable", "pat", r"[A-Za-z0-9]{14}\.[a-f0-9]{64}" + _END),
    Issued("Asana", "1/|2/", r"[0-9]{15,17}:[a-f0-9]{32}" + _END, 0.9),
    Issued("Linear", "lin_api_|lin_oauth_", r"[A-Za-z0-9]{40,64}" + _END),
    Issued("Figma", "figd_|figu_|figo_|figdr_", r"[\w-]{38,60}"),
    Issued("Frame.io", "fio-u-", r"[\w=-]{64}" + _END),
    Issued("ClickUp", "pk_", r"[0-9]{6,12}_[A-Z0-9]{32}" + _END),
    Issued("Dropbox", "sl.", r"[\w-]{130,400}" + _END, 0.9),
    Issued("Zapier webhook", "hooks.zapier.com/hooks/catch/", r"[0-9]{5,10}/[a-z0-9]{6,12}", 0.8),
    Issued("Mapbox", "sk.eyJ|pk.eyJ", r"[\w-]{40,120}\.[\w-]{22}" + _END),
    # Watching and data
    Issued("Grafana", "glc_|glsa_", r"[A-Za-z0-9+/_=]{32,400}"),
    Issued("Grafana API key", "eyJrIjoi", r"[A-Za-z0-9+/=]{50,400}", 0.9),
    Issued("New Relic", "NRAK-|NRAA-|NRII-|NRRA-|NRJS-", r"[A-Za-z0-9_-]{19,64}" + _END),
    Issued("New Relic licence", "NRAL", r"" + _END, before=r"[0-9a-f]{36}"),
    Issued("Sentry", "sntrys_|sntryu_", r"[\w+/=-]{60,400}"),
    Issued("Dynatrace", "dt0c01.|dt0s01.|dt0s16.", r"[A-Z0-9]{8,24}\.[A-Z0-9]{64}" + _END),
    Issued("PostHog", "phx_|phs_", r"[A-Za-z0-9_-]{40,50}" + _END),
    Issued("PagerDuty", "pdus+_0XBPWQQ_", r"[\w+-]{20,60}", 0.9),
    Issued("Elastic", "essu_", r"[\w=-]{40,200}"),
    Issued("LaunchDarkly", "sdk-|api-|mob-", r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}" + _END, 0.9),
    Issued("Tailscale", "tskey-", r"(?:api|auth|client|scim|webhook)-[\w-]{16,80}"),
    Issued("ngrok", "ngrok_", r"[A-Za-z0-9]{20,60}" + _END, 0.8),
    Issued("Defined Networking", "dnkey-", r"[a-z0-9=_\-]{26}-[a-z0-9=_\-]{52}" + _END),
    Issued("OpenShift", "sha256~", r"[\w-]{43}(?![\w-])", 0.9),
    Issued("Shippo", "shippo_live_|shippo_test_", r"[a-f0-9]{40}" + _END),
)
