"""``bailiwick policy keygen``, ``sign`` and ``verify``: who stands behind policy files."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from pathlib import Path

import click

from gateway.cli.common import DEFAULT_CONFIG, CliContext
from gateway.cli.policy.common import FILE, complaints, today
from gateway.documents import contents
from gateway.domain.errors import ConfigurationError
from gateway.policy.files import SIGNATURES, PolicyFiles
from gateway.policy.names import Surroundings
from gateway.policy.signing import Signature, Signer, added, dumped, dumped_key, new_signer, parsed, parsed_key, require
from gateway.policy.sources import PolicySet, read_policies
from gateway.settings import PolicySignatures

PATH = click.Path(path_type=Path, exists=True)
PASSPHRASE_VARIABLE = "BAILIWICK_SIGNING_PASSPHRASE"  # noqa: S105 (a name)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}")


@click.command()
@click.argument("name")
@click.option("--out", "file", type=FILE, required=True, help="The file to write the private key to; it must be new.")
@click.option("--passphrase", is_flag=True, help="Ask for a passphrase and encrypt the key with it.")
def keygen(name: str, file: Path, passphrase: bool) -> None:
    """Make a signing key for the person NAME, and print the line for bailiwick.yaml that makes it trusted.

    Each person makes their own key and keeps it: only the public key goes to others.
    """
    if not _NAME.fullmatch(name):
        raise click.BadParameter("use letters, digits and _ . @ - (at most 64)", param_hint="NAME")
    secret = click.prompt("Passphrase", hide_input=True, confirmation_prompt=True, err=True) if passphrase else ""
    signer = new_signer(name)
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            out.write(dumped_key(signer, secret))
    except FileExistsError:
        raise click.ClickException(f"{file} is there already, and a key is never written over") from None
    except OSError as problem:
        raise click.ClickException(f"{file} cannot be written: {problem.strerror}") from problem
    click.echo(f"The private key is in {file}; only its owner can read it. Under policy_signatures: trusted:", err=True)
    click.echo(f"{signer.name}: {signer.public}")


@click.command()
@click.argument("path", type=PATH)
@click.option("--key", "key_file", type=FILE, required=True, help="The signer's private key, made by keygen.")
@click.pass_context
def sign(ctx: click.Context, path: Path, key_file: Path) -> None:
    """Sign the policy file, or all policy files of the folder PATH, in SIGNATURES.json beside them.

    A signature covers every policy file and what it extends. Signatures of others on the same files stay; those on
    files that have changed since are dropped.
    """
    with complaints(ctx):
        signer = read_key(key_file)
        files = PolicyFiles(path)
        found = read_policies(files, Surroundings(today=today()))
        signatures = with_signature(files, found, signer)
        target = files.base / SIGNATURES
        draft = target.with_name(f".{SIGNATURES}.{os.getpid()}.part")
        try:
            draft.write_bytes(dumped(signatures))
            draft.replace(target)
        except OSError as problem:
            raise ConfigurationError(f"{target}: cannot be written: {problem.strerror}") from problem
    click.echo(f"{target}: {_count(len(found.used), 'file')}, signed by {', '.join(names_of(signatures))}")


@click.command()
@click.argument("path", type=PATH)
@click.pass_context
def verify(ctx: click.Context, path: Path) -> None:
    """Say who of the trusted signers in bailiwick.yaml has signed the files of PATH as they are now.

    Exit codes: 0 enough have, 3 they have not or a file is invalid.
    """
    with complaints(ctx):
        wanted = trusted(ctx)
        if wanted is None:
            raise ConfigurationError("the settings trust nobody: there is no policy_signatures in bailiwick.yaml")
        files = PolicyFiles(path, [SIGNATURES])
        found = read_policies(files, Surroundings(today=today()))
        signers = require(files, found, wanted.trusted, wanted.needed)
        click.echo(f"ok: {_count(len(found.used), 'file')}, signed by {', '.join(signers)}; needed: {wanted.needed}")


def read_key(file: Path) -> Signer:
    """Raises `ConfigurationError`. The passphrase of an encrypted key comes from the environment, or is asked for."""

    def passphrase() -> str:
        given = os.environ.get(PASSPHRASE_VARIABLE)
        return given if given is not None else click.prompt(f"Passphrase of {file}", hide_input=True, err=True)

    return parsed_key(contents(file), passphrase, str(file))


def with_signature(files: PolicyFiles, found: PolicySet, signer: Signer) -> tuple[Signature, ...]:
    """The signatures that lie beside these files, where they are of these very files, and this one."""
    lying = files.base / SIGNATURES
    existing = parsed(contents(lying), str(lying)) if lying.exists() else ()
    return added(existing, signer.sign(files, found, datetime.now(UTC)))


def names_of(signatures: tuple[Signature, ...]) -> list[str]:
    return [each.statement.signer for each in signatures]


def trusted(ctx: click.Context) -> PolicySignatures | None:
    """Whom the settings trust; None where they say nothing, or where there are none. Raises `ConfigurationError`."""
    common = ctx.find_object(CliContext)
    return common.settings().policy_signatures if common is not None and has_settings(common) else None


def has_settings(common: CliContext) -> bool:
    return common.config is not None or DEFAULT_CONFIG.exists()


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
