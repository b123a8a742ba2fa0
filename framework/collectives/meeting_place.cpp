#include <levin/framework/collectives/meeting_place.h>

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <map>
#include <mutex>
#include <utility>

#include <fmt/format.h>
#include <torch/csrc/distributed/c10d/Store.hpp>

#include <levin/framework/collectives/meeting_store.h>
#include <levin/framework/core/diagnostics.h>
#include <levin/framework/core/error.h>
#include <levin/framework/launch/listening_port.h>

namespace levin {

std::string own_address(const Cluster& cluster) {
  if (cluster.num_nodes == 1) return "127.0.0.1";
  addrinfo hints{};
  hints.ai_socktype = SOCK_DGRAM;
  addrinfo* found = nullptr;
  const std::string port = std::to_string(cluster.master_port);
  if (::getaddrinfo(cluster.master_address.c_str(), port.c_str(), &hints, &found) != 0) {
    throw DistributedError(
        fmt::format("the host '{}' can't be found; set MASTER_ADDR to the address of rank 0",
                    cluster.master_address));
  }
  std::string address;
  for (const addrinfo* one = found; one != nullptr && address.empty(); one = one->ai_next) {
    const int handle = ::socket(one->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (handle < 0) continue;
    sockaddr_storage own{};
    socklen_t size = sizeof(own);
    char text[NI_MAXHOST];
    if (::connect(handle, one->ai_addr, one->ai_addrlen) == 0 &&  // sends nothing
        ::getsockname(handle, reinterpret_cast<sockaddr*>(&own), &size) == 0 &&
        ::getnameinfo(reinterpret_cast<sockaddr*>(&own), size, text, sizeof(text), nullptr, 0,
                      NI_NUMERICHOST) == 0) {
      address = text;
    }
    ::close(handle);
  }
  ::freeaddrinfo(found);
  return address.empty() ? "127.0.0.1" : address;
}

namespace {

/// The store at which a rank meets the others, and how many times it has met equally many ranks of
/// the same run there.
struct MeetingPlace {
  using RunSize = std::pair<std::string, int64_t>;  // the run's id, the number of ranks
  c10::intrusive_ptr<c10d::Store> store;
  std::map<RunSize, int64_t> meetings{};
};

/// Says once that a run's secret is missing, if other hosts can reach the store.
void warn_if_unprotected(const Cluster& cluster) {
  if (is_local(cluster) || cluster.rank != 0 || !cluster.secret.empty()) return;
  diagnostics::print(fmt::format(
      "warning: the ranks of this run meet at {}:{}, where every program that reaches the port can "
      "read and change what they agree on; set LEVIN_RUN_SECRET to the same random text for all "
      "ranks\n",
      cluster.master_address, cluster.master_port));
}

/// Returns the meeting place, of which a process keeps one for its whole life, for two reasons:
/// rank 0's port can be served only once, and a rank may already be at its second Trainer while
/// others are still leaving the first.
MeetingPlace meeting_place(const Cluster& cluster, std::chrono::milliseconds timeout) {
  static std::mutex mutex;
  static auto& places =
      *new std::map<std::string, MeetingPlace>;  // never destroyed: a rank may still wait
  if (cluster.world_size == 1) return {open_meeting_store(cluster, timeout)};
  const MeetingPlace::RunSize meeting{cluster.run_id, cluster.world_size};
  const auto key =
      fmt::format("{} {} {}", cluster.rank, cluster.master_address, cluster.master_port);
  {
    const std::lock_guard lock(mutex);
    if (const auto found = places.find(key); found != places.end()) {
      ++found->second.meetings[meeting];
      return found->second;
    }
  }
  warn_if_unprotected(cluster);
  const MeetingPlace place{open_meeting_store(cluster, timeout), {{meeting, 1}}};
  const std::lock_guard lock(mutex);
  places[key] = place;
  return place;
}

}  // namespace

Meeting meet(const Cluster& cluster, std::chrono::milliseconds timeout) {
  auto place = meeting_place(cluster, timeout);
  // The prefix hides the outdated values that earlier starts of the job and earlier meetings left
  // in the store. It contains the number of ranks, because torchrun doesn't count a start with more
  // or fewer ranks as a restart.
  return {place.store,
          fmt::format("levin/{}/{}/{}/{}", cluster.run_id, cluster.restart_count,
                      cluster.world_size, place.meetings[{cluster.run_id, cluster.world_size}])};
}

}  // namespace levin
