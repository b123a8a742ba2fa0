#pragma once

namespace levin {

/// Keeps the system from pacing a TCP connection between programs of one machine. BBR, the
/// congestion control of some systems, sends by a timer at the rate of a network that it estimates;
/// on the loopback interface that only costs time (docs/serving.md has figures). For a socket with
/// a loopback address and BBR this sets Reno, which every Linux has; otherwise it does nothing.
/// Connections that a listening socket accepts have its setting.
void unpace_loopback(int socket);

}  // namespace levin
