"""parallel-ssh on libssh2: one command for each probe on all hosts in parallel. It cannot verify host keys."""

from pssh.clients import ParallelSSHClient
from records import Records, job

work = job()
client = ParallelSSHClient(
    work.fleet["hosts"],
    user=work.fleet["user"],
    port=work.fleet["port"],
    pkey=work.fleet["key"],
    pool_size=50,
    allow_agent=False,
    timeout=60,
    num_retries=1,
)
with Records(work.out) as records:
    for probe in work.probes:
        for output in client.run_command(probe["cmd"], use_pty=False, read_timeout=60):
            stdout, stderr = ("".join(f"{line}\n" for line in lines) for lines in (output.stdout, output.stderr))
            records.put(output.host, probe["id"], output.exit_code, stdout, stderr)
