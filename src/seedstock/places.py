"""Where a hub keeps what it has and runs what it trains, by its settings: folder, database, object store, launcher."""

from __future__ import annotations

from pathlib import Path

from seedstock.accounts.secrets import load_server_key
from seedstock.adapt.launch import Launcher, LocalLauncher
from seedstock.core.errors import StoreUnreachable
from seedstock.db.engine import Database
from seedstock.db.migrate import upgrade
from seedstock.settings import Settings
from seedstock.store.local import LocalObjects
from seedstock.store.port import ObjectStore


def open_store(url: str) -> ObjectStore:
    """The object store that a URL names."""
    if url.startswith("file:"):
        return LocalObjects(Path(url.removeprefix("file:").removeprefix("//")))
    from seedstock.store.remote import RemoteObjects

    return RemoteObjects(url)


def open_database(settings: Settings) -> Database:
    """The database, brought to the newest schema."""
    if settings.database_url.startswith("sqlite"):
        make_folder(settings.data_dir)
    database = Database(settings.database_url)
    upgrade(database)
    return database


def make_folder(folder: Path) -> None:
    """Make the data folder, for its owner alone: it holds private repos and password hashes."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise StoreUnreachable(
            f"Cannot use the data folder {folder}: {error.strerror}", hint="choose another with --data"
        ) from None


def check_places(settings: Settings) -> None:
    """Raise what is wrong with the folder, the database or the store, before processes are started on them."""
    make_folder(settings.data_dir)
    open_database(settings).close()
    try:
        open_store(settings.store_url)
        if settings.secret_key is None:
            load_server_key(settings.data_dir)
    except OSError as error:
        raise StoreUnreachable(
            f"Cannot write to {error.filename}: {error.strerror}", hint="check the folder's rights"
        ) from None


def open_launcher(name: str) -> Launcher:
    """Where stages of training run, by the setting of that name."""
    if name == "local":
        return LocalLauncher()
    from seedstock.adapt.ray_launch import RayLauncher

    return RayLauncher(name)
