#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include <levin/framework/launch/descriptor.h>

namespace levin {

/// Memory that processes of one host share: a file without a name, in memory, which is gone with
/// the last of them, however they end. (Not in /dev/shm, of which containers have 64 MB.)
class HostMemory {
 public:
  /// Nothing: `data` is null.
  HostMemory() = default;

  /// `bytes` of zeros; nothing where the system gives none, or that is more than an eighth of the
  /// host's memory.
  static HostMemory create(size_t bytes);
  /// That of the process that gave `address`; nothing where it can't be reached from here: another
  /// host's, container's or user's, or closed.
  static HostMemory open(const std::string& address, size_t bytes);

  /// Where others find it, until this is closed; "" for nothing.
  const std::string& address() const { return address_; }
  /// From now on nobody finds it; who has it keeps it.
  void close() { file_.close(); }

  /// The bytes, at the start of a page; they stay as long as anybody holds this pointer.
  const std::shared_ptr<std::byte>& data() const { return data_; }

 private:
  Descriptor file_;
  std::string address_;
  std::shared_ptr<std::byte> data_;
};

}  // namespace levin
