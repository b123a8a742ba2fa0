#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include <levin/framework/launch/descriptor.h>

namespace levin {

/// Memory that processes of one host share. It is a file in memory that has no name, so it
/// disappears with the last process that uses it, however that process ends. (It isn't in /dev/shm,
/// because containers usually have only 64 MB of that.)
///
///     auto memory = HostMemory::create(bytes);                 // in one process
///     send(memory.address());                                  // to the others
///     auto memory = HostMemory::open(address, bytes);          // in each of the others
///     memory.close();                                          // once all of them have it
class HostMemory {
 public:
  /// No memory: `data` is null.
  HostMemory() = default;

  /// Makes memory of `bytes` zeros. Returns no memory if the system doesn't give any, or if `bytes`
  /// is more than the share `most` of the host's memory.
  static HostMemory create(size_t bytes, double most = 0.125);
  /// Opens the memory of `bytes` that another process made; `address` is what that process got from
  /// `address()`. Returns no memory if it can't be reached, because the other process has closed it
  /// or belongs to another host, container or user.
  static HostMemory open(const std::string& address, size_t bytes);

  /// The text with which other processes open this memory until it is closed; "" if there is no
  /// memory.
  const std::string& address() const { return address_; }
  /// Keeps other processes from opening the memory from now on; those that have opened it keep it.
  void close() { file_.close(); }

  /// The bytes, which start at a page; null if there is no memory. They live as long as a copy of
  /// this pointer, longer than this object if need be.
  const std::shared_ptr<std::byte>& data() const { return data_; }

 private:
  Descriptor file_;
  std::string address_;
  std::shared_ptr<std::byte> data_;
};

}  // namespace levin
