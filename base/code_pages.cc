#include "base/code_pages.h"

#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>

namespace wheelpit {
namespace {

// Only whole pages within the segment: the edges may be shared with a writable one.
int ReleaseObject(dl_phdr_info* object, size_t, void*) {
  const uintptr_t page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  for (size_t i = 0; i < object->dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = object->dlpi_phdr[i];
    // Never written, so that each page is as in the file: nothing is lost.
    if (segment.p_type != PT_LOAD || (segment.p_flags & PF_W) != 0) continue;
    const uintptr_t start = object->dlpi_addr + segment.p_vaddr;
    const uintptr_t first = (start + page - 1) & ~(page - 1);
    const uintptr_t last = (start + segment.p_filesz) & ~(page - 1);
    // An error leaves the pages where they are.
    if (last > first) madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
  }
  return 0;
}

}  // namespace

void ReleaseCodePages() { dl_iterate_phdr(&ReleaseObject, nullptr); }

}  // namespace wheelpit
