#pragma once

#include <cstdint>

#include <levin/framework/launch/descriptor.h>

namespace levin {

/// A free TCP port that the system gives to nobody else while this lives. Whoever asks for it by
/// its number with SO_REUSEADDR, as TCPStore does, gets it: this socket is bound, but doesn't
/// listen.
class ReservedPort {
 public:
  /// Throws DistributedError where no port is free.
  ReservedPort();
  int64_t number() const { return number_; }

 private:
  Descriptor socket_;
  int64_t number_ = 0;
};

}  // namespace levin
