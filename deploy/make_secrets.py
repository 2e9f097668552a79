"""Makes the secrets of a trial: one file a process, with passwords of its own.

    python3 deploy/make_secrets.py FOLDER [--nats HOST] [--postgres HOST] [--tls]

Compose reads the files, and kustomize makes Secrets of them. Files that are there are kept, so that
a second run adds only what is missing. For production take them from where your secrets live.
"""

from __future__ import annotations

import argparse
import secrets
from pathlib import Path

SERVICES = ("player", "billing", "maintenance")
USERS = (*SERVICES, "gateway", "publisher", "operator")
DATABASE = "padawanforge"


def password() -> str:
    """Needs escaping nowhere."""
    return secrets.token_hex(24)


def files(nats: str, postgres: str, scheme: str) -> dict[str, dict[str, str]]:
    """Variables by file."""
    of_nats = {user: password() for user in USERS}
    of_postgres = {service: password() for service in SERVICES}
    made = {
        service: {
            "NATS_URL": f"{scheme}://{service}:{of_nats[service]}@{nats}:4222",
            "DATABASE_URL": (
                f"postgresql://{service}:{of_postgres[service]}@{postgres}:5432/{DATABASE}"
            ),
        }
        for service in SERVICES
    }
    # Signs what the sandbox tells itself; a real provider's secrets take its place.
    made["billing"] |= {"PAYMENT_PROVIDER": "sandbox", "SANDBOX_WEBHOOK_SECRET": password()}
    made["gateway"] = {
        "NATS_URL": f"{scheme}://gateway:{of_nats['gateway']}@{nats}:4222",
        "API_KEY": password(),
    }
    # In quotes: without them the server takes some for numbers or variables.
    made["nats"] = {f"NATS_PASSWORD_{user.upper()}": f'"{of_nats[user]}"' for user in USERS}
    made["postgres"] = {
        "POSTGRES_PASSWORD": password(),
        **{f"PASSWORD_{service.upper()}": of_postgres[service] for service in SERVICES},
    }
    return made


def main() -> None:
    """Writes all of them, readable by their owner alone, unless they are there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--nats", default="nats", help="name of the NATS host")
    parser.add_argument("--postgres", default="postgres", help="name of the PostgreSQL host")
    parser.add_argument("--tls", action="store_true", help="NATS is reached over TLS")
    chosen = parser.parse_args()
    made = files(chosen.nats, chosen.postgres, "tls" if chosen.tls else "nats")
    there = [name for name in made if (chosen.folder / f"{name}.env").exists()]
    if there and len(there) < len(made):
        parser.error(f"{chosen.folder} has only some of the files: delete them all to begin anew")
    if there:
        print(f"{chosen.folder} has its secrets already")
        return
    chosen.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name, variables in made.items():
        path = chosen.folder / f"{name}.env"
        path.touch(mode=0o600)
        path.write_text("".join(f"{key}={value}\n" for key, value in variables.items()))
    print(f"wrote {len(made)} files to {chosen.folder}")


if __name__ == "__main__":
    main()
