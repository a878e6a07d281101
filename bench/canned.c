/* A host that costs nearly nothing: an SSH server whose answers were made beforehand (bench/canned.py), for figures
   of our own side. One fork for each connection; about 3 ms of CPU each, nearly all of it the key exchange.

   usage: canned PORT HOSTKEY AUTHORIZED_KEY STDOUT STDERR
   STDOUT and STDERR are the frames of a whole bundle with a nonce of 32 zeros in them; the real one is read from
   the head of the script that arrives on stdin. Each frame goes out as a packet of its own, as from a real host. */
#define _GNU_SOURCE
#include <libssh/libssh.h>
#include <libssh/server.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NONCE = 32, LONGEST_SCRIPT = 1 << 20 };
static const char HEAD[] = "# nonce ", END[] = "}\n# end ", ZEROS[] = "\n00000000000000000000000000000000 ";

struct bytes {
	char *at;
	size_t length;
};

static struct bytes slurp(const char *path)
{
	struct bytes read = {NULL, 0};
	FILE *file = fopen(path, "rb");
	if (!file || fseek(file, 0, SEEK_END)) {
		perror(path);
		exit(1);
	}
	read.length = (size_t)ftell(file);
	rewind(file);
	read.at = malloc(read.length + 1);
	if (!read.at || fread(read.at, 1, read.length, file) != read.length) {
		perror(path);
		exit(1);
	}
	read.at[read.length] = 0;
	fclose(file);
	return read;
}

/* Put the nonce where the zeros are and send frame by frame. 0: sent, -1: the client is gone. */
static int send_frames(ssh_channel channel, struct bytes frames, const char *nonce, int is_stderr)
{
	char *end = frames.at + frames.length, *from = frames.at;
	while (from < end) {
		char *mark = memmem(from, (size_t)(end - from), ZEROS, sizeof ZEROS - 1), *next = NULL;
		if (mark) {
			memcpy(mark + 1, nonce, NONCE);
			next = memmem(mark + 1, (size_t)(end - mark - 1), ZEROS, sizeof ZEROS - 1);
		}
		size_t size = (size_t)((next ? next : end) - from);
		int sent = is_stderr ? ssh_channel_write_stderr(channel, from, (uint32_t)size)
				     : ssh_channel_write(channel, from, (uint32_t)size);
		if (sent < 0 || (size_t)sent != size)
			return -1;
		from += size;
	}
	return 0;
}

/* Read the script until its end has arrived and return its nonce; NULL if it is none, or the client left. */
static const char *read_nonce(ssh_channel channel)
{
	static char script[LONGEST_SCRIPT + 1];
	size_t length = 0;
	for (;;) {
		int got = ssh_channel_read(channel, script + length, (uint32_t)(LONGEST_SCRIPT - length), 0);
		if (got <= 0)
			return NULL;
		length += (size_t)got;
		script[length] = 0;
		char *nonce = strstr(script, HEAD);
		if (!nonce || length < NONCE + sizeof END)
			continue;
		nonce += sizeof HEAD - 1;
		const char *last = script + length - (sizeof END - 1) - NONCE - 1;
		if (!memcmp(last, END, sizeof END - 1) && !memcmp(last + sizeof END - 1, nonce, NONCE))
			return nonce;
	}
}

static void answer(ssh_channel channel, struct bytes out, struct bytes err)
{
	const char *nonce = read_nonce(channel);
	if (!nonce)
		return;
	if (!send_frames(channel, err, nonce, 1) && !send_frames(channel, out, nonce, 0))
		ssh_channel_request_send_exit_status(channel, 0);
	ssh_channel_send_eof(channel);
	ssh_channel_close(channel);
}

static int authenticate(ssh_message message, ssh_key trusted)
{
	if (ssh_key_cmp(ssh_message_auth_pubkey(message), trusted, SSH_KEY_CMP_PUBLIC))
		return 0;
	switch (ssh_message_auth_publickey_state(message)) {
	case SSH_PUBLICKEY_STATE_NONE:
		ssh_message_auth_reply_pk_ok_simple(message);
		return 1;
	case SSH_PUBLICKEY_STATE_VALID:
		ssh_message_auth_reply_success(message, 0);
		return 2;
	default:
		return 0;
	}
}

static void serve(ssh_session session, ssh_key trusted, struct bytes out, struct bytes err)
{
	ssh_message message;
	int known = 0;
	ssh_set_auth_methods(session, SSH_AUTH_METHOD_PUBLICKEY);
	if (ssh_handle_key_exchange(session))
		return;
	while ((message = ssh_message_get(session))) {
		int type = ssh_message_type(message), subtype = ssh_message_subtype(message), replied = 0;
		if (type == SSH_REQUEST_AUTH && subtype == SSH_AUTH_METHOD_PUBLICKEY) {
			replied = authenticate(message, trusted);
			known |= replied == 2;
		} else if (known && type == SSH_REQUEST_CHANNEL_OPEN && subtype == SSH_CHANNEL_SESSION) {
			replied = ssh_message_channel_request_open_reply_accept(message) != NULL;
		} else if (known && type == SSH_REQUEST_CHANNEL && subtype == SSH_CHANNEL_REQUEST_EXEC) {
			ssh_channel channel = ssh_message_channel_request_channel(message);
			replied = 1;
			ssh_message_channel_request_reply_success(message);
			answer(channel, out, err);
		}
		if (!replied)
			ssh_message_reply_default(message);
		ssh_message_free(message);
	}
}

static void reap(int number)
{
	(void)number;
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

int main(int count, char **words)
{
	ssh_key trusted = NULL;
	int port, no = 0, yes = 1;
	if (count != 6)
		return 2;
	if (ssh_pki_import_pubkey_file(words[3], &trusted)) {
		fprintf(stderr, "%s: not a public key\n", words[3]);
		return 1;
	}
	struct bytes out = slurp(words[4]), err = slurp(words[5]);
	signal(SIGCHLD, reap);
	signal(SIGPIPE, SIG_IGN);
	port = atoi(words[1]);
	ssh_bind door = ssh_bind_new();
	ssh_bind_options_set(door, SSH_BIND_OPTIONS_BINDADDR, "0.0.0.0");
	ssh_bind_options_set(door, SSH_BIND_OPTIONS_BINDPORT, &port);
	ssh_bind_options_set(door, SSH_BIND_OPTIONS_HOSTKEY, words[2]);
	ssh_bind_options_set(door, SSH_BIND_OPTIONS_PROCESS_CONFIG, &no);
	if (ssh_bind_listen(door)) {
		fprintf(stderr, "%s\n", ssh_get_error(door));
		return 1;
	}
	listen(ssh_bind_get_fd(door), 4096); /* libssh's own backlog of 10 drops connections: whole seconds of wall */
	for (;;) {
		ssh_session session = ssh_new();
		if (ssh_bind_accept(door, session) != SSH_OK) {
			ssh_free(session);
			continue;
		}
		if (!fork()) {
			signal(SIGCHLD, SIG_DFL);
			close(ssh_bind_get_fd(door));
			setsockopt(ssh_get_fd(session), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes); /* as OpenSSH */
			serve(session, trusted, out, err);
			ssh_disconnect(session);
			_exit(0);
		}
		ssh_silent_disconnect(session);
		ssh_free(session);
	}
}
