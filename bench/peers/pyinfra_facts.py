"""pyinfra's API: one `Command` fact for each probe, asked of all hosts in parallel."""

from records import Records, job

work = job()

from gevent import monkey  # noqa: E402 # pyinfra's own order: patch before anything opens a socket

monkey.patch_all()

from pyinfra.api import Config, Inventory, State  # noqa: E402
from pyinfra.api.connect import connect_all, disconnect_all  # noqa: E402
from pyinfra.api.facts import get_facts  # noqa: E402
from pyinfra.facts.server import Command  # noqa: E402

settings = {
    "ssh_user": work.fleet["user"],
    "ssh_port": work.fleet["port"],
    "ssh_key": work.fleet["key"],
    "ssh_allow_agent": False,
    "ssh_look_for_keys": False,
    "ssh_known_hosts_file": work.fleet["known_hosts"],
    "ssh_config_file": work.fleet["ssh_config"],
    "ssh_strict_host_key_checking": "yes",
    "ssh_paramiko_connect_kwargs": {"banner_timeout": 60, "auth_timeout": 60},
}
state = State(Inventory((work.fleet["hosts"], settings)), Config(PARALLEL=50))
connect_all(state)
with Records(work.out) as records:
    for probe in work.probes:
        for host, text in get_facts(state, Command, args=(probe["cmd"],)).items():
            records.put(host.name, probe["id"], 0 if text else None, text or "", "")  # a fact drops status and stderr
disconnect_all(state)
