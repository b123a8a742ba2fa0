#pragma once

#include <cstdint>

#include <levin/framework/launch/descriptor.h>

namespace levin {

/// Reserves a free TCP port for rank 0 for as long as this object lives.
///
///     ReservedPort port;
///     start_ranks(port.number());  // rank 0 listens at it, the others connect
///
/// The system doesn't assign the port to a process that asks for any free port. A process that asks
/// for this port by number and sets SO_REUSEADDR, as TCPStore does, can still listen at it, because
/// the socket held here is bound but doesn't listen.
class ReservedPort {
 public:
  /// Throws DistributedError if no port is free.
  ReservedPort();
  /// The port's number, from 1 to 65535.
  int64_t number() const { return number_; }

 private:
  Descriptor socket_;
  int64_t number_ = 0;
};

}  // namespace levin
