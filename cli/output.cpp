#include <levin/cli/output.h>

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include <levin/framework/core/error.h>
#include <levin/framework/core/write_signals.h>

namespace levin {

void write_output(std::string_view text) {
  const NoWriteSignals signals;
  errno = 0;
  const bool is_written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
  if (std::fflush(stdout) == 0 && is_written && std::ferror(stdout) == 0) return;
  const int error = errno == 0 ? EIO : errno;
  std::clearerr(stdout);
  throw CheckpointError::io("write to", "standard output", std::strerror(error));
}

void require_output() {
  const int flags = ::fcntl(STDOUT_FILENO, F_GETFL);
  if (flags >= 0 && (flags & O_ACCMODE) != O_RDONLY) return;
  throw CheckpointError::io("write to", "standard output", "it is closed; leave out `>&-`");
}

}  // namespace levin
