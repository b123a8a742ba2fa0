#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include <levin/framework/launch/descriptor.h>

namespace levin {

/// Memory that processes of one host share. It is a file in memory that has no name, so it is gone
/// with the last process that uses it, however that one ends. (It doesn't lie in /dev/shm, because
/// containers usually have only 64 MB of that.)
///
///     auto memory = HostMemory::create(bytes);                // one process; tells
///     memory.address() auto memory = HostMemory::open(address, bytes);         // the other
///     processes memory.close();                                         // once all have it
class HostMemory {
 public:
  /// No memory: `data` is null.
  HostMemory() = default;

  /// Makes memory of `bytes` zeros. Gives no memory if the system has none to give, or if `bytes`
  /// is more than an eighth of the host's memory.
  static HostMemory create(size_t bytes);
  /// Opens the memory that another process made and gave `address` for. Gives no memory if it can't
  /// be reached from here, because it was closed or belongs to another host, container or user.
  static HostMemory open(const std::string& address, size_t bytes);

  /// The text by which other processes open it until it is closed; "" if there is no memory.
  const std::string& address() const { return address_; }
  /// Lets no other process open the memory from now on; those that have it keep it.
  void close() { file_.close(); }

  /// The bytes, which start at a page; they live as long as anybody holds this pointer.
  const std::shared_ptr<std::byte>& data() const { return data_; }

 private:
  Descriptor file_;
  std::string address_;
  std::shared_ptr<std::byte> data_;
};

}  // namespace levin
