/*
 * compiler stands before the compilers on the PATH of steps, under their names. Where buildsys serves what compilers made
 * in earlier builds (CCACHE_CONFIGPATH is set) it calls ccache, else, or if the command line has something that must not be
 * kept, the compiler itself: the compiler is /usr/bin/NAME in either case.
 *
 * ccache's keys hold the preprocessed text and what it knows of the command line. Not kept, because neither shows it:
 *   FILE.s, FILE.i, -x assembler, -x cpp-output
 *                         what is not preprocessed, which preprocess cannot look through for .include
 *   -m...=native          what that means depends on the machine
 *   -flto --coverage -fprofile-generate ...
 *                         without -frandom-seed the compiler puts a random number into the object: no two are the same
 *   @FILE -Wa,@FILE -Xassembler -wrapper
 *                         options and programs that are not read here, or that ccache does not read
 *   -v -Q -time -ftime-report -Wa,--statistics ...
 *                         messages that say how long it took, or name temporary files
 *   -Wa,--MD -Wa,-a -fopt-info -aux-info -d... -fdiagnostics-format=json-file ...
 *                         other files that the compiler writes
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int begins(const char *arg, const char *with) { return strncmp(arg, with, strlen(with)) == 0; }

static int ends(const char *arg, const char *with) {
	size_t n = strlen(arg), m = strlen(with);
	return n >= m && strcmp(arg + n - m, with) == 0;
}

/* What begins so makes objects depend on what no key has, writes files that nobody would keep, or says what is never the
 * same twice. */
static const char *const refused[] = {
	"-Q",           "--verbose",    "-time",        "--time",       "-ftime-report", "-fmem-report",
	"-fpre-ipa-",   "-fpost-ipa-",  "-fstats",      "-Xassembler",  "-wrapper",      "-fopt-info",
	"-aux-info",    "--dump",       "-d",           "-fsave-",      "-fdiagnostics-format=",
	"-fdiagnostics-add-output",     "-fdiagnostics-set-output",
};

/* The same of options for the assembler, which takes shortened names. */
static const char *const refused_assembler[] = {",@", ",-a", ",--M", ",--st", ",--l"};

/* Without a seed the compiler takes a random number for these. */
static const char *const random_numbers[] = {
	"-flto", "-fprofile-arcs", "-fprofile-generate", "-coverage", "--coverage", "-ftest-coverage",
	"-fcondition-coverage", "-fpath-coverage",
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

static int begins_any(const char *arg, const char *const *with, size_t n) {
	while (n > 0) {
		if (begins(arg, with[--n])) {
			return 1;
		}
	}
	return 0;
}

/* for_assembler reports whether -Wa,OPTION,... has an option that is refused. */
static int for_assembler(const char *arg) {
	if (!begins(arg, "-Wa,")) {
		return 0;
	}
	for (size_t i = 0; i < COUNT(refused_assembler); i++) {
		if (strstr(arg, refused_assembler[i])) {
			return 1;
		}
	}
	return 0;
}

/* unknown reports whether an argument is not to be kept by itself. */
static int unknown(const char *arg) {
	if (arg[0] != '-') {
		return arg[0] == '@' || ends(arg, ".s") || ends(arg, ".i") || ends(arg, ".ii");
	}
	return strcmp(arg, "-v") == 0 || (begins(arg, "-m") && ends(arg, "=native")) || for_assembler(arg) ||
	       begins_any(arg, refused, COUNT(refused));
}

/* forbids reports whether a command line has something that must not be kept. */
static int forbids(char **args) {
	int random = 0, seed = 0;
	for (; *args; args++) {
		const char *language = NULL;
		if (unknown(*args)) {
			return 1;
		}
		if (begins(*args, "-x")) {
			language = (*args)[2] ? *args + 2 : args[1];
		}
		if (language && (strcmp(language, "assembler") == 0 || ends(language, "cpp-output"))) {
			return 1;
		}
		random |= begins_any(*args, random_numbers, COUNT(random_numbers));
		seed |= begins(*args, "-frandom-seed");
	}
	return random && !seed;
}

int main(int argc, char **argv) {
	const char *name = strrchr(argv[0], '/');
	char real[4096];
	name = name ? name + 1 : argv[0];
	if (snprintf(real, sizeof real, "/usr/bin/%s", name) >= (int)sizeof real) {
		return 127;
	}
	if (getenv("CCACHE_CONFIGPATH") && !forbids(argv + 1)) {
		char **args = calloc((size_t)argc + 2, sizeof *args);
		if (args) {
			args[0] = "ccache";
			args[1] = real;
			memcpy(args + 2, argv + 1, (size_t)argc * sizeof *args);
			execv("/usr/bin/ccache", args);
		}
	}
	argv[0] = real;
	execv(real, argv);
	perror(real);
	return 127;
}
