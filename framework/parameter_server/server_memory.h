#pragma once

#include <cstddef>
#include <memory>
#include <vector>

namespace levin {

/// Memory for numbers that are received or sent, in huge pages if it is large, and not zeroed.
class ServerMemory {
 public:
  explicit ServerMemory(size_t bytes);
  std::byte* data() const { return data_.get(); }
  size_t bytes() const { return bytes_; }

 private:
  struct Freed {
    void operator()(std::byte* memory) const;
  };
  size_t bytes_;
  std::unique_ptr<std::byte, Freed> data_;
};

/// Memory that is used again when nobody else holds it, so that its pages are there. Whoever takes
/// and releases it must hold the same lock.
class ServerMemoryPool {
 public:
  /// Returns memory of at least that many bytes. Throws std::bad_alloc.
  std::shared_ptr<ServerMemory> take(size_t bytes);

 private:
  std::vector<std::shared_ptr<ServerMemory>> all_;
};

}  // namespace levin
