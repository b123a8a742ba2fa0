#pragma once

#include <sys/fsuid.h>
#include <unistd.h>

namespace levin::test {

/// For as long as it lives, this thread may read and write only the files that a user other than
/// root may, also if the test runs as root.
class WithoutRoot {
 public:
  WithoutRoot() {
    if (::geteuid() == 0) ::setfsuid(65534);
  }
  ~WithoutRoot() { ::setfsuid(::geteuid()); }
  WithoutRoot(const WithoutRoot&) = delete;
  WithoutRoot& operator=(const WithoutRoot&) = delete;
};

}  // namespace levin::test
