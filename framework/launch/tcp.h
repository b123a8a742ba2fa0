#pragma once

#include <cstdint>

#include <levin/framework/launch/descriptor.h>

struct addrinfo;

namespace levin {

/// Opens a TCP socket of a family (AF_INET, AF_INET6) that doesn't block and isn't passed on to
/// programs that this process starts. Without a descriptor, and with errno set, if that fails.
Descriptor open_tcp_socket(int family);

/// Returns the port that a socket is bound to; 0 if it is bound to none.
uint16_t port_of(const Descriptor& socket);

/// Connects a socket that doesn't block to one of the addresses of getaddrinfo. Returns 0 if it got
/// connected before the deadline (files::monotonic_seconds), otherwise an errno value.
int connect_until(const Descriptor& socket, const addrinfo& to, double deadline);

}  // namespace levin
