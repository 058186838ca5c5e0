import hashlib

import psycopg

from tests.postgres import DatabaseFactory


def test_the_template_is_the_text_that_its_hash_names(database_factory: DatabaseFactory) -> None:
    with psycopg.connect(database_factory("compliance").app_url) as app:
        rows = app.execute("SELECT version, sha256, body_markdown FROM baa_templates").fetchall()
    assert [(version, sha256) for version, sha256, _ in rows] == [
        (version, hashlib.sha256(body.encode()).hexdigest()) for version, _, body in rows
    ]
    assert rows
