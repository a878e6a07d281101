"""SSH by paramiko: blocking, so each connection has two threads of its own, and a third while a command runs.

It speaks for hosts whose inventory says so (`ssh_library`). Who is trusted, what is offered and when it is given up is decided
where it is for asyncssh: by `Login`, the breaker and our deadlines. Of paramiko only `Transport` and `Channel` are used,
nothing that looks for keys, agents, configurations or known hosts by itself.
"""
