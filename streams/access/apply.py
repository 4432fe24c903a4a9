"""Carries out a plan: ACLs, then passwords and their files; and the other way round."""

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from streams.access.cluster import create_acls, delete_acls, delete_users, set_password
from streams.access.plan import Plan
from streams.kafka.client_files import Cluster, remove_client_files, write_client_files
from streams.kafka.private_files import new_password

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient


def grant(admin: "AdminClient", plan: Plan, *, folder: Path, cluster: Cluster) -> None:
    """Make the plan's new ACLs, and its new users with their files in `folder`.

    Idempotent: after an error, a plan made anew has what is left. Raises ClusterError and OSError.
    """
    # ACLs come first: on a cluster without an authorizer they are refused, and nothing has been done.
    create_acls(admin, plan.new_acls)
    give_passwords(admin, plan.new_users, folder=folder, cluster=cluster)


def give_passwords(
    admin: "AdminClient", users: Collection[str], *, folder: Path, cluster: Cluster
) -> None:
    """Give each user a new password, in a file of their own in `folder`; makes who is not there.

    Raises ClusterError and OSError.
    """
    for user in users:
        password = new_password()
        # The file comes first: a password that Kafka knows and nobody else is of no use.
        write_client_files(folder, user, password, cluster)
        set_password(admin, user, password)


def withdraw(admin: "AdminClient", plan: Plan, *, folder: Path) -> None:
    """Delete the plan's stray users, with their files, and its stray ACLs.

    Users first: while their ACLs are there, an interrupted withdrawal is seen by the next plan.
    Raises ClusterError and OSError.
    """
    delete_users(admin, plan.stray_users)
    for user in plan.stray_users:
        remove_client_files(folder, user)
    delete_acls(admin, plan.stray_acls)
