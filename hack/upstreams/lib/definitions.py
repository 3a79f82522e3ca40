"""RabbitMQ's definitions file: the virtual host /, and users with all rights in it.

usage: definitions.py DIR USER... ; each user's password is read from DIR/USER.password.
"""

import base64
import hashlib
import json
import os
import sys


def password_hash(password):
    """RabbitMQ's own format: base64(salt + sha256(salt + password)), a salt of four bytes."""
    salt = os.urandom(4)
    return base64.b64encode(salt + hashlib.sha256(salt + password).digest()).decode()


def main(folder, *users):
    def password(user):
        with open(os.path.join(folder, user + ".password"), "rb") as stream:
            return stream.read()

    json.dump({
        "vhosts": [{"name": "/"}],
        "users": [{
            "name": user, "tags": [],
            "password_hash": password_hash(password(user)),
            "hashing_algorithm": "rabbit_password_hashing_sha256",
        } for user in users],
        "permissions": [{"user": user, "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}
                        for user in users],
    }, sys.stdout, indent=1)


main(*sys.argv[1:])
