/* Hands out the entries of every directory in reverse order, for --verify-reproducible: loaded with LD_PRELOAD.
 * All are read at the first readdir after opendir, fdopendir or rewinddir. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>

struct stream {
  DIR *dir;
  struct dirent *entries;
  size_t left;
  struct stream *next;
};

static struct stream *streams;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* What is left of dir is forgotten. */
static void forget(DIR *dir) {
  pthread_mutex_lock(&lock);
  for (struct stream **s = &streams; *s; s = &(*s)->next)
    if ((*s)->dir == dir) {
      struct stream *gone = *s;
      *s = gone->next;
      free(gone->entries);
      free(gone);
      break;
    }
  pthread_mutex_unlock(&lock);
}

static struct stream *find(DIR *dir) {
  for (struct stream *s = streams; s; s = s->next)
    if (s->dir == dir)
      return s;
  return NULL;
}

struct dirent *readdir(DIR *dir) {
  static struct dirent *(*real)(DIR *);
  struct dirent *entry = NULL;
  pthread_mutex_lock(&lock);
  if (!real)
    real = (struct dirent * (*)(DIR *)) dlsym(RTLD_NEXT, "readdir");
  struct stream *s = find(dir);
  if (!s) {
    s = calloc(1, sizeof *s);
    if (!s)
      abort();
    s->dir = dir;
    for (struct dirent *e; (e = real(dir));) {
      s->entries = realloc(s->entries, (s->left + 1) * sizeof *e);
      if (!s->entries)
        abort();
      /* The record is as long as its name, not as long as the type. */
      __builtin_memcpy(&s->entries[s->left++], e, e->d_reclen);
    }
    s->next = streams;
    streams = s;
  }
  if (s->left)
    entry = &s->entries[--s->left];
  pthread_mutex_unlock(&lock);
  return entry;
}

/* The same on 64-bit machines. */
struct dirent64 *readdir64(DIR *dir) { return (struct dirent64 *)readdir(dir); }

int closedir(DIR *dir) {
  forget(dir);
  return ((int (*)(DIR *))dlsym(RTLD_NEXT, "closedir"))(dir);
}

void rewinddir(DIR *dir) {
  forget(dir);
  ((void (*)(DIR *))dlsym(RTLD_NEXT, "rewinddir"))(dir);
}
