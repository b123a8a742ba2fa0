#include <levin/framework/launch/reserved_port.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include <fmt/format.h>

#include <levin/framework/core/error.h>

namespace levin {

ReservedPort::ReservedPort() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  const int yes = 1;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_ANY);
  socklen_t size = sizeof(address);
  auto* any = reinterpret_cast<sockaddr*>(&address);
  // bind comes before SO_REUSEADDR: otherwise the system could choose a port that is shared.
  if (::bind(socket_.get(), any, size) != 0 ||
      ::setsockopt(socket_.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) != 0 ||
      ::getsockname(socket_.get(), any, &size) != 0) {
    throw DistributedError(
        fmt::format("the launcher can't reserve a free port at which the ranks meet: {}; set "
                    "master_port to one that is free",
                    std::strerror(errno)));
  }
  number_ = ntohs(address.sin_port);
}

}  // namespace levin
