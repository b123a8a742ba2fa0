#include <levin/framework/launch/listening_port.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include <levin/framework/core/error.h>
#include <levin/framework/launch/reserved_port.h>

#include "framework/message_of.h"

namespace levin::test::listening_port_test {

/// Two ranks of one host that meet at a port that Levin chose.
Cluster one_host() {
  Cluster cluster;
  cluster.world_size = cluster.local_world_size = 2;
  cluster.master_port = 24990;
  cluster.may_choose_port = true;
  return cluster;
}

bool listens_to_loopback_only(const Descriptor& socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  EXPECT_EQ(::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  return address.ss_family == AF_INET &&
         reinterpret_cast<sockaddr_in&>(address).sin_addr.s_addr == htonl(INADDR_LOOPBACK);
}

TEST(ListeningPort, is_open_to_other_hosts_only_if_there_are_any) {
  Cluster cluster = one_host();
  EXPECT_TRUE(listens_to_loopback_only(open_meeting_port(cluster).socket));
  cluster.num_nodes = 2;
  EXPECT_FALSE(listens_to_loopback_only(open_meeting_port(cluster).socket));
}

TEST(ListeningPort, a_taken_one_is_passed_over_if_levin_chose_it) {
  const ListeningPort first = open_meeting_port(one_host());
  const ListeningPort second = open_meeting_port(one_host());
  EXPECT_NE(second.number, first.number);
  std::set<int64_t> tried;
  for (int64_t i = 0; i < meeting_ports(one_host()); ++i) tried.insert(meeting_port(one_host(), i));
  EXPECT_EQ(tried.size(), 16U);
  EXPECT_TRUE(tried.contains(first.number) && tried.contains(second.number));
  EXPECT_TRUE(tried.contains(24999) && tried.contains(15000)) << "the range ends at 24999";
}

TEST(ListeningPort, a_taken_one_that_was_given_is_an_error) {
  Cluster cluster = one_host();
  cluster.master_port = open_meeting_port(cluster).number;
  cluster.may_choose_port = false;
  const ListeningPort taken = open_meeting_port(cluster);
  EXPECT_EQ(taken.number, cluster.master_port);
  EXPECT_TRUE(says(message_of<DistributedError>([&] { open_meeting_port(cluster); }),
                   {"port " + std::to_string(taken.number), "already in use", "MASTER_PORT"}));
}

TEST(ListeningPort, all_taken_that_levin_chose_are_an_error_that_names_the_last) {
  std::vector<ListeningPort> taken;
  std::string message;
  while (message.empty() && taken.size() <= 16) {
    try {
      taken.push_back(open_meeting_port(one_host()));
    } catch (const DistributedError& error) {
      message = error.what();
    }
  }
  EXPECT_TRUE(says(message, {"at port 15005, the last of 16", "already in use", "MASTER_PORT"}));
}

TEST(ListeningPort, another_reason_than_a_taken_one_is_said_without_advice_on_ports) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const int lowest = ::dup(STDERR_FILENO);
  ::close(lowest);
  rlimit none_left = before;
  none_left.rlim_cur = static_cast<rlim_t>(lowest);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none_left), 0);
  const auto message = message_of<DistributedError>([] { open_meeting_port(one_host()); });
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_TRUE(says(message, {"at port 24990: Too many open files; raise the limit"}));
  EXPECT_EQ(message.find("MASTER_PORT"), message.npos) << message;
}

TEST(ListeningPort, one_that_the_launcher_reserves_can_be_opened) {
  const ReservedPort reserved;
  Cluster cluster = one_host();
  cluster.may_choose_port = false;
  cluster.master_port = reserved.number();
  EXPECT_EQ(open_meeting_port(cluster).number, reserved.number());
  cluster.num_nodes = 2;
  EXPECT_EQ(open_meeting_port(cluster).number, reserved.number());
}

}  // namespace levin::test::listening_port_test
