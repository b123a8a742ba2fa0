#pragma once

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>

namespace levin::test {

/// The bytes that the sockets of this process have sent over TCP, as the system counts them. If
/// ranks are threads, these are the bytes of all ranks.
inline int64_t bytes_on_the_wire() {
  int64_t bytes = 0;
  for (int file = 0; file < 1024; ++file) {
    tcp_info info{};
    socklen_t size = sizeof(info);
    if (::getsockopt(file, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) continue;
    bytes += static_cast<int64_t>(info.tcpi_bytes_sent);
  }
  return bytes;
}

}  // namespace levin::test
