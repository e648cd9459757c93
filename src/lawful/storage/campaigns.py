"""campaign.json: the rule of a campaign and its choices, written whole, with hashes that tell whether they changed."""

from __future__ import annotations

from lawful.errors import StoreError
from lawful.schema.campaign import Campaign
from lawful.storage.atomic import write_json
from lawful.storage.codec import HASH, decode, digest, expect_unchanged, to_plain, with_hash
from lawful.storage.json_files import read_json
from lawful.storage.layout import Store


def read_campaign(store: Store) -> Campaign | None:
    """None where the folder has no campaign. Raises StoreError where the file is damaged or was edited."""
    path = store.campaign
    if not path.exists():
        return None
    raw = read_json(path)
    expect_unchanged(raw, path)
    campaign = decode({name: value for name, value in raw.items() if name != HASH}, Campaign, path)
    if campaign.rule_sha256 != digest(to_plain(campaign.rule)):
        raise StoreError(
            f"{path}: expected the rule as it was written on {campaign.created} (SHA-256 "
            f"{campaign.rule_sha256[:16]}), got another; take the file from a copy."
        )
    return campaign


def expect_no_campaign(store: Store) -> None:
    """Raises StoreError where a campaign chooses the runs of the folder."""
    if store.campaign.exists():
        raise StoreError(
            f"{store.folder}: expected a folder without a campaign, since a campaign alone chooses its runs; the "
            f"folder holds a campaign. Go on with it: lawful resume {store.folder}; or choose another folder."
        )


def write_campaign(store: Store, campaign: Campaign) -> None:
    write_json(store.campaign, with_hash(to_plain(campaign)))
