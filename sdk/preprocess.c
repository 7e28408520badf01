/*
 * preprocess runs the preprocessor for ccache, which has it as prefix_command_cpp, and fails where the object must not be
 * kept: ccache then compiles as if it were not there.
 *
 *   preprocess COMPILER ARGUMENT...
 *
 * Not kept is what the assembler reads another file for: .include, .incbin. ccache's keys hold the preprocessed text, and
 * no such file. (ccache itself knows the usual forms of .incbin. What the command line shows is compiler's to find.)
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { refused = 77 };

static int has(const char *text, size_t n, const char *word) { return memmem(text, n, word, strlen(word)) != NULL; }

/* reads reports whether the preprocessed text in a file has the assembler read another file. An error counts as yes. */
static int reads(const char *path) {
	static char buf[16 + (1 << 16)];
	size_t kept = 0, n;
	FILE *f = fopen(path, "rb");
	if (!f) {
		return 1;
	}
	while ((n = fread(buf + kept, 1, sizeof buf - kept, f)) > 0) {
		for (size_t i = kept; i < kept + n; i++) {
			buf[i] = (char)tolower((unsigned char)buf[i]); /* as the assembler does */
		}
		n += kept;
		if (has(buf, n, ".include") || has(buf, n, ".incbin")) {
			fclose(f);
			return 1;
		}
		kept = n < 16 ? n : 16; /* a word may begin in one block and end in the next */
		memmove(buf, buf + n - kept, kept);
	}
	n = ferror(f) != 0;
	return fclose(f) != 0 || n;
}

int main(int argc, char **argv) {
	const char *out = NULL;
	int status;
	if (argc < 2) {
		fprintf(stderr, "usage: preprocess COMPILER ARGUMENT...\n");
		return 2;
	}
	for (int i = 2; i + 1 < argc; i++) {
		if (strcmp(argv[i], "-o") == 0) {
			out = argv[i + 1];
		}
	}
	pid_t pid = fork();
	if (pid == 0) {
		execv(argv[1], argv + 1);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0) {
		return refused;
	}
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
		return WIFEXITED(status) ? WEXITSTATUS(status) : refused;
	}
	return out == NULL || reads(out) ? refused : 0;
}
