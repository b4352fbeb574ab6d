/* Makes every sync of a program take longer, as it does on a network disk.
 * Preloaded by `run.py slow-sync`; SLOW_SYNC_US says by how many microseconds. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

typedef int (*sync_call)(int);

static int slowly(const char *name, int file) {
  const char *setting = getenv("SLOW_SYNC_US");
  long micros = setting ? atol(setting) : 0;
  struct timespec delay = {micros / 1000000, micros % 1000000 * 1000};
  nanosleep(&delay, NULL);
  return ((sync_call)dlsym(RTLD_NEXT, name))(file);
}

int fsync(int file) { return slowly("fsync", file); }
int fdatasync(int file) { return slowly("fdatasync", file); }
