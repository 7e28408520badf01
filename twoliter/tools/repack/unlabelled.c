/*
 * A library for LD_PRELOAD: files that a program copies get all extended attributes but the label of
 * SELinux. Containers may not set that, and the new image is labelled by the policy that is in it.
 */
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

int lsetxattr(const char *path, const char *name, const void *value, size_t size, int flags) {
  if (strcmp(name, "security.selinux") == 0)
    return 0;
  return (int)syscall(SYS_lsetxattr, path, name, value, size, flags);
}
