#include <levin/framework/core/loopback.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <string>

#include <gtest/gtest.h>

namespace levin {
namespace {

/// A socket that is closed at the end, with the congestion control BBR where the system has it.
class PacedSocket {
 public:
  explicit PacedSocket(int family) : descriptor_(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    ::setsockopt(descriptor_, IPPROTO_TCP, TCP_CONGESTION, "bbr", 3);
  }
  ~PacedSocket() { ::close(descriptor_); }
  PacedSocket(const PacedSocket&) = delete;
  PacedSocket& operator=(const PacedSocket&) = delete;

  int get() const { return descriptor_; }

  /// Lets it listen at a port that the system chooses. Returns whether it could.
  bool listen_at(const char* address) const {
    return ::bind(descriptor_, Address(address).get(), Address::kSize) == 0 &&
           ::listen(descriptor_, 1) == 0;
  }

 private:
  class Address {
   public:
    static constexpr socklen_t kSize = sizeof(sockaddr_in6);
    explicit Address(const char* text) {
      auto* v4 = reinterpret_cast<sockaddr_in*>(&address_);
      auto* v6 = reinterpret_cast<sockaddr_in6*>(&address_);
      address_.ss_family = ::inet_pton(AF_INET, text, &v4->sin_addr) == 1 ? AF_INET : AF_INET6;
      if (address_.ss_family == AF_INET6) ::inet_pton(AF_INET6, text, &v6->sin6_addr);
    }
    const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&address_); }

   private:
    sockaddr_storage address_{};
  };

  int descriptor_;
};

std::string congestion_control(int socket) {
  std::array<char, 16> name{};
  socklen_t size = name.size();
  ::getsockopt(socket, IPPROTO_TCP, TCP_CONGESTION, name.data(), &size);
  return name.data();
}

std::string after_unpacing(int family, const char* address) {
  const PacedSocket socket(family);
  if (!socket.listen_at(address)) return std::string("can't listen at ") + address;
  unpace_loopback(socket.get());
  return congestion_control(socket.get());
}

class Loopback : public ::testing::Test {
 protected:
  void SetUp() override {
    if (congestion_control(PacedSocket(AF_INET).get()) != "bbr") {
      GTEST_SKIP() << "the system's TCP has no BBR, which paces connections";
    }
  }
};

TEST_F(Loopback, sockets_of_loopback_addresses_are_not_paced) {
  EXPECT_EQ(after_unpacing(AF_INET, "127.0.0.1"), "reno");
  EXPECT_EQ(after_unpacing(AF_INET, "127.8.9.10"), "reno");
  EXPECT_EQ(after_unpacing(AF_INET6, "::1"), "reno");
  EXPECT_EQ(after_unpacing(AF_INET6, "::ffff:127.0.0.1"), "reno");
}

TEST_F(Loopback, other_sockets_keep_what_the_system_gives_them) {
  EXPECT_EQ(after_unpacing(AF_INET, "0.0.0.0"), "bbr");
  EXPECT_EQ(after_unpacing(AF_INET6, "::"), "bbr");
  const PacedSocket unbound(AF_INET);
  unpace_loopback(unbound.get());
  EXPECT_EQ(congestion_control(unbound.get()), "bbr");
}

TEST_F(Loopback, a_connection_and_what_a_listening_socket_accepts_are_not_paced) {
  const PacedSocket listener(AF_INET);
  ASSERT_TRUE(listener.listen_at("127.0.0.1"));
  unpace_loopback(listener.get());
  sockaddr_in address{};
  socklen_t size = sizeof(address);
  ::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size);
  const PacedSocket client(AF_INET);
  ASSERT_EQ(::connect(client.get(), reinterpret_cast<const sockaddr*>(&address), size), 0);
  EXPECT_EQ(congestion_control(client.get()), "bbr");
  unpace_loopback(client.get());
  EXPECT_EQ(congestion_control(client.get()), "reno");
  const int accepted = ::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC);
  EXPECT_EQ(congestion_control(accepted), "reno");
  ::close(accepted);
}

}  // namespace
}  // namespace levin
