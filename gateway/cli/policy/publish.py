"""``bailiwick policy publish``: checked, tested, compared, signed, and then put where the gateway reads it, at once."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from gateway.cli.audit_events import append
from gateway.cli.common import CliContext
from gateway.cli.policy.common import FILE, complaints, today
from gateway.cli.policy.signing import PATH, has_settings, names_of, read_key, trusted, with_signature
from gateway.domain.errors import ConfigurationError, GatewayError
from gateway.domain.record import AuditRecord, Label, RecordKind, label
from gateway.policy import compile_policy
from gateway.policy.files import SIGNATURES, PolicyFiles
from gateway.policy.hash import policy_hash
from gateway.policy.join import EVERYBODY
from gateway.policy.names import Surroundings
from gateway.policy.publishing import publish as put
from gateway.policy.signing import Signature, dumped, verified
from gateway.policy.sources import PolicySet, read_policies, read_policy
from gateway.policy.store import set_hash
from gateway.policy.written import Written
from gateway.settings import PolicySignatures


@click.command()
@click.argument("path", type=PATH)
@click.option("--to", type=click.Path(path_type=Path), required=True, help="The folder that the gateway reads.")
@click.option("--key", "key_file", type=FILE, required=True, help="The signer's private key, made by keygen.")
@click.option("--targets", "targets_file", type=FILE, help="bailiwick.yaml, or a YAML list of targets.")
@click.option("--yes", is_flag=True, help="Publish without asking.")
@click.pass_context
def publish(ctx: click.Context, path: Path, to: Path, key_file: Path, targets_file: Path | None, yes: bool) -> None:
    """Publish the policy file, or all policy files of the folder PATH.

    Each file is checked, its guarantees are proved and its tests (default_test.yaml beside default.yaml) are run; then
    it says what changes, signs, and makes the folder --to a link to the new files, so that the gateway sees all of them
    or none. Where bailiwick.yaml asks for several signers, the others sign first, with: bailiwick policy sign.

    Exit codes: 0 published, 1 not wanted, 3 a file is invalid, a signature is missing or it cannot be recorded, 4 tests
    failed, 5 a guarantee is broken.
    """
    with complaints(ctx):
        files = PolicyFiles(path)
        found = read_policies(files, Surroundings(today=today()))
        targets = ["--targets", str(targets_file)] if targets_file is not None else []
        _prove(ctx, files, targets)
        if not files.settled():
            raise ConfigurationError(f"{path}: was changed while it was checked; publish it again")
        signer = read_key(key_file)
        signatures = with_signature(files, found, signer)
        if (wanted := trusted(ctx)) is not None:
            _enough(signatures, wanted)
        # Anybody can write a name beside the files: only who is known by a key is told and recorded.
        keys = {signer.name: signer.public} | dict(wanted.trusted if wanted is not None else {})
        signed_by = names_of(tuple(verified(signatures, keys)))
        for line in changes(found, to, Surroundings(today=today())):
            click.echo(line)
        _compare(ctx, files, to, targets)
        if not yes:
            click.confirm(f"Publish to {to}, signed by {', '.join(signed_by)}?", abort=True, err=True)
        data = {name: files.data(name) for name in sorted(found.used)} | {SIGNATURES: dumped(signatures)}
        hashes = {tenant: policy_hash(each.policy) for tenant, each in found.policies.items()}
        _record(ctx, "policy published", hashes, signed_by)
        try:
            release = put(data, to, hash_of(found), datetime.now(UTC))
        except ConfigurationError:
            _record(ctx, "policy not published", hashes, signed_by)
            raise
        click.echo(f"published: {to} is {release.name}, signed by {', '.join(signed_by)}")


def changes(found: PolicySet, to: Path, surroundings: Surroundings) -> Iterator[str]:
    """What is different for whom from what is published at `to`, by hashes."""
    before: Mapping[str, Written] = {}
    if to.exists():
        try:
            before = read_policies(to, surroundings).policies
        except ConfigurationError as problem:
            yield f"what is published now cannot be read, so there is nothing to compare with: {problem}"
    for tenant in sorted(found.policies.keys() | before.keys()):
        whose = f"tenant {tenant}" if tenant else "everybody" if len(found.policies) == 1 else "everybody else"
        new, old = found.policies.get(tenant), before.get(tenant)
        if new is None:
            yield f"{whose}: no policy of its own any more"
        elif old is None:
            yield f"{whose}: new, {_shown(new)}"
        elif old.policy == new.policy:
            yield f"{whose}: unchanged, {_shown(new)}"
        else:
            yield f"{whose}: {_shown(old)} → {_shown(new)}"


def hash_of(found: PolicySet) -> str:
    """The hash that a gateway shows when it has loaded these policies."""
    compiled = {tenant: compile_policy(each.policy) for tenant, each in found.policies.items()}
    everybody = compiled.pop(EVERYBODY)
    return set_hash(everybody, compiled)


def _shown(found: Written) -> str:
    policy = found.policy
    return f"{policy.name}, version {policy.version}, hash {policy_hash(policy)[:12]}"


def _prove(ctx: click.Context, files: PolicyFiles, targets: list[str]) -> None:
    """Run the commands ``check`` and ``test`` as a person would; what ends them badly ends this one in the same way."""
    each = [files.shown(name) for name in files.names]
    _run(ctx, "check", [*([str(files.path)] if files.is_folder else []), *each, *targets])
    for file in map(Path, each):
        tests = file.with_name(f"{file.stem}_test{file.suffix}")
        if tests.exists():
            _run(ctx, "test", [str(tests)])
        else:
            click.echo(f"{file}: has no tests ({tests.name})", err=True)


def _compare(ctx: click.Context, files: PolicyFiles, to: Path, targets: list[str]) -> None:
    """Run the command ``diff`` for each file that means something else than the one that is published."""
    for name in files.names:
        published, new = to / name, Path(files.shown(name))
        if published.exists():
            try:
                changed = read_policy(published).policy != read_policy(new).policy
            except ConfigurationError:
                continue  # the published one cannot be read any more: `changes` says so
            if changed:
                _run(ctx, "diff", [str(published), str(new), *targets])


def _run(ctx: click.Context, command: str, arguments: list[str]) -> None:
    """Another command of the group. Exits as it does where it does not end well."""
    group = ctx.parent.command if ctx.parent is not None else None
    assert isinstance(group, click.Group)
    found = group.get_command(ctx, command)
    assert found is not None, command
    try:
        with found.make_context(command, arguments, parent=ctx) as inner:
            found.invoke(inner)
    except click.exceptions.Exit as ended:
        if ended.exit_code:
            raise


def _enough(signatures: tuple[Signature, ...], wanted: PolicySignatures) -> None:
    """Raises `ConfigurationError` where a gateway with these settings would not take the files."""
    good = sorted({each.statement.signer for each in verified(signatures, wanted.trusted)})
    unknown = sorted(set(names_of(signatures)) - set(good))
    if len(good) < wanted.needed:
        have = f"only {', '.join(good)}" if good else "nobody trusted"
        more = f"; not trusted: {', '.join(unknown)}" if unknown else ""
        raise ConfigurationError(
            f"{wanted.needed} trusted signers are needed, and {have} signed these files{more}. "
            "Another one signs with: bailiwick policy sign"
        )


def _record(ctx: click.Context, event: str, hashes: Mapping[str, str], signers: Sequence[str]) -> None:
    """Write to the audit log of the settings, one record for each policy and signer. Raises `ConfigurationError`."""
    common = ctx.find_object(CliContext)
    if common is None or not has_settings(common):
        click.echo("There are no settings here, so no audit log says that this was published.", err=True)
        return
    records = [
        AuditRecord(
            kind=RecordKind.EVENT,
            at=time.time_ns() // 1000,
            decision=Label(""),
            event=Label(event),
            tenant=label(tenant),
            policy=Label(policy),
            error=label(signer),
        )
        for tenant, policy in sorted(hashes.items())
        for signer in signers
    ]
    try:
        append(common.audit_url, records)
    except GatewayError as error:
        raise ConfigurationError(f"the audit log cannot be written, so nothing was published: {error}") from error
