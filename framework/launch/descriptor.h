#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <utility>

namespace levin {

/// Owns a file descriptor and closes it when destroyed.
///
///     Descriptor file(::open(path, O_RDONLY | O_CLOEXEC));
///     if (!file.is_open()) return errno;
///     ::read(file.get(), buffer, size);
///
/// The descriptor is closed in programs that this process starts if it was opened with O_CLOEXEC,
/// and its number is never 0, 1 or 2. In a program that was started with its standard streams
/// closed, the system would give those numbers to the next file that is opened, which would then
/// receive whatever is printed.
class Descriptor {
 public:
  /// Owns nothing, until a descriptor is moved here.
  Descriptor() = default;
  /// Takes ownership of `number`, which may be -1 (nothing is open). A descriptor numbered 0, 1 or
  /// 2 is replaced by a duplicate with another number.
  explicit Descriptor(int number) : number_(number) {
    if (number_ < 0 || number_ > 2) return;
    number_ = ::fcntl(number, F_DUPFD_CLOEXEC, 3);
    ::close(number);
  }
  /// Moving transfers ownership and leaves the other object without a descriptor. Move assignment
  /// exchanges the two descriptors.
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  /// Closes the descriptor. An error of `close` is ignored.
  ~Descriptor() { close(); }

  /// The descriptor's number, for system calls, or -1 if nothing is open. The object keeps
  /// ownership, so the caller must not close it.
  int get() const { return number_; }
  /// Whether this object owns a descriptor. A system call that failed has left its reason in errno.
  bool is_open() const { return number_ >= 0; }
  /// Closes the descriptor now, for example so that the reader of a pipe finds its end. Has no
  /// effect if nothing is open, so it may be called twice. An error of the system's `close` is
  /// ignored.
  void close() {
    if (number_ >= 0) ::close(number_);
    number_ = -1;
  }

 private:
  int number_ = -1;
};

/// The two ends of a pipe. What is written to `write` can be read from `read`; the reader finds the
/// end of the data once every copy of `write`, those of other processes included, is closed.
struct Pipe {
  Descriptor read;
  Descriptor write;

  /// Opens a pipe, both ends of which are closed in programs that this process starts. If the
  /// process has no descriptors left, neither end is open and errno says why.
  static Pipe open() {
    int ends[2] = {-1, -1};
    if (::pipe2(ends, O_CLOEXEC) != 0) return {};
    return {Descriptor(ends[0]), Descriptor(ends[1])};
  }
};

}  // namespace levin
