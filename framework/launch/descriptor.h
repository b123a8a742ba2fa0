#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <utility>

namespace levin {

/// Owns a file descriptor and closes it when destroyed.
///
/// The descriptor is closed in programs that this process starts, and its number is never 0, 1 or
/// 2. In a program that was started with its standard streams closed, the system would give those
/// numbers to the next file that is opened, which would then receive whatever is printed.
class Descriptor {
 public:
  Descriptor() = default;
  /// Takes ownership of `number`, which may be -1 (nothing is open). A descriptor numbered 0, 1 or
  /// 2 is replaced by a duplicate with another number.
  explicit Descriptor(int number) : number_(number) {
    if (number_ < 0 || number_ > 2) return;
    number_ = ::fcntl(number, F_DUPFD_CLOEXEC, 3);
    ::close(number);
  }
  /// Moving transfers ownership; move assignment exchanges the two descriptors.
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  ~Descriptor() { close(); }

  /// The descriptor's number, or -1 if nothing is open. The object keeps ownership.
  int get() const { return number_; }
  bool is_open() const { return number_ >= 0; }
  /// Closes the descriptor now. Has no effect if nothing is open.
  void close() {
    if (number_ >= 0) ::close(number_);
    number_ = -1;
  }

 private:
  int number_ = -1;
};

/// The two ends of a pipe.
struct Pipe {
  Descriptor read;
  Descriptor write;

  /// Opens a pipe. If the process has no descriptors left, neither end is open and errno says why.
  static Pipe open() {
    int ends[2] = {-1, -1};
    if (::pipe2(ends, O_CLOEXEC) != 0) return {};
    return {Descriptor(ends[0]), Descriptor(ends[1])};
  }
};

}  // namespace levin
