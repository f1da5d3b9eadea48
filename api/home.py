"""A hub's folder.

```
hub.toml          whose hub it is, its public address, its limits; a file people edit
service-key.pem   the bureau's service key (mode 0600): signs what is automatic
hub.sqlite        drafts, documents, sealed results; PostgreSQL by URL in YINGBI_HUB_DATABASE instead
log/              the log's folder (ledger.home)
```
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import Engine

from api.database import open_database, reading, writing
from api.migrations import is_current, upgrade
from api.settings import CONFIG_NAME, Settings, parse_settings, render_settings
from ledger.home import LogHome, create_home, load_home, replace_file
from ledger.store_sql import has_password
from yingbi.errors import ConflictError, ErrorCode, InvalidRequestError, NotFoundError
from yingbi.keys import SigningKey, load_signing_key, save_signing_key

__all__ = ["DATABASE_VARIABLE", "HubHome", "begin_home", "finish_home", "load_hub", "upgrade_hub"]

DATABASE_VARIABLE: Final = "YINGBI_HUB_DATABASE"
_SERVICE_KEY: Final = "service-key.pem"
_LOG: Final = "log"


@dataclass(frozen=True, slots=True, kw_only=True)
class HubHome:
    """A hub's folder and what its configuration says."""

    folder: Path
    settings: Settings

    @property
    def database(self) -> str:
        """Return the database's URL: the environment's, else the configuration's."""
        return _absolute_url(os.environ.get(DATABASE_VARIABLE, self.settings.database), self.folder)

    def load_log(self) -> LogHome:
        """Load the configuration of the hub's log."""
        return load_home(self.folder / _LOG)

    def load_service_key(self, passphrase: bytes | None = None) -> SigningKey:
        """Load the bureau's service key; one passphrase is for it and for the log's key."""
        return load_signing_key(self.folder / _SERVICE_KEY, passphrase=passphrase)

    def open_database(self) -> Engine:
        """Open the hub's database.

        Raises:
            InvalidRequestError: its tables are of another version of this software.
        """
        engine = open_database(self.database)
        try:
            with reading(engine) as connection:
                if not is_current(connection):
                    raise InvalidRequestError(
                        ErrorCode.CONFIG_INVALID,
                        "the hub's tables are of another version",
                        hint="run `yingbi hub upgrade`",
                    )
        except BaseException:
            engine.dispose()
            raise
        return engine


def begin_home(
    folder: Path, settings: Settings, origin: str, service_key: SigningKey, *, passphrase: bytes | None = None
) -> HubHome:
    """Make the log, key and database of a new hub; it is one only after `finish_home`.

    Raises:
        ConflictError: the folder holds a hub, a key or a log already.
        InvalidRequestError: the database's URL holds a password.
    """
    if (folder / CONFIG_NAME).exists():
        raise ConflictError(ErrorCode.HUB_EXISTS, f"folder `{folder.name}` holds a hub already")
    # SECURITY: a password is not written down; it stays in the environment.
    if has_password(settings.database):
        raise InvalidRequestError(
            ErrorCode.CONFIG_INVALID,
            "expected a database URL without a password",
            hint=f"give the whole URL in `{DATABASE_VARIABLE}`",
        )
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    home = HubHome(folder=folder, settings=settings)
    save_signing_key(service_key, folder / _SERVICE_KEY, passphrase=passphrase)
    create_home(folder / _LOG, origin, passphrase=passphrase)
    _upgrade(home)
    return home


def finish_home(home: HubHome) -> None:
    """Write the configuration, last: a folder with this file is a whole hub."""
    replace_file(home.folder / CONFIG_NAME, render_settings(home.settings))


def load_hub(folder: Path) -> HubHome:
    """Load a hub's configuration.

    Raises:
        NotFoundError: there is no hub in the folder.
        InvalidRequestError: its configuration is wrong.
    """
    try:
        text = (folder / CONFIG_NAME).read_text("utf-8")
    except FileNotFoundError:
        raise NotFoundError(
            ErrorCode.HUB_NOT_FOUND,
            f"no hub in folder `{folder}`",
            hint="name its folder with `--hub` or in YINGBI_HUB; `yingbi hub init` makes one",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequestError(ErrorCode.CONFIG_INVALID, f"`{CONFIG_NAME}` cannot be read") from error
    return HubHome(folder=folder, settings=parse_settings(text))


def upgrade_hub(folder: Path) -> None:
    """Bring the tables of an existing hub to this version of the software, in one transaction.

    Raises:
        NotFoundError: there is none.
    """
    _upgrade(load_hub(folder))


def _upgrade(home: HubHome) -> None:
    engine = open_database(home.database)
    try:
        with writing(engine) as connection:
            upgrade(connection)
    finally:
        engine.dispose()


def _absolute_url(url: str, folder: Path) -> str:
    prefix = "sqlite:///"
    if url.startswith(prefix) and not url.startswith(prefix + "/"):
        return prefix + str((folder / url.removeprefix(prefix)).resolve())
    return url
