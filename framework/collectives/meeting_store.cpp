#include <levin/framework/collectives/meeting_store.h>

#include <fcntl.h>
#include <netdb.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <future>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <torch/csrc/distributed/c10d/HashStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <levin/framework/collectives/polled_wait.h>
#include <levin/framework/collectives/sealed_store.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/launch/listening_port.h>
#include <levin/framework/launch/tcp.h>

namespace levin {
namespace {

constexpr double kProbeSeconds = 1.0;
/// How long the search for the store waits for one port's answer before it goes on to the next.
constexpr std::chrono::milliseconds kLookAtPort{200};
/// How long a connection may take, the resolution of the host's name included.
constexpr std::chrono::seconds kHandshake{60};
constexpr size_t kRanksNamed = 10;
constexpr const char* kAllPresent = "present/all";
constexpr const char* kPresent = "1";
/// How long an operation of the store itself waits. It never has to, because SealedStore waits
/// until a key is there, unless another program deletes the key at that moment.
constexpr std::chrono::seconds kAnswer{10};

using StoreHandle = c10::intrusive_ptr<c10d::Store>;

/// The key by which a rank recognises the store of its own run. Another run may serve a store at
/// one of the ports that this rank tries; its id is another, or its ports begin elsewhere.
std::string identity_key(const Cluster& cluster) {
  return fmt::format("levin/store/{}/{}", cluster.run_id, cluster.master_port);
}

std::string host_of_store(const Cluster& cluster) {
  return is_local(cluster) ? "127.0.0.1" : cluster.master_address;
}

/// Whether both descriptors are of the same socket.
bool are_of_one_socket(int first, int second) {
  struct stat one {};
  struct stat other {};
  return ::fstat(first, &one) == 0 && ::fstat(second, &other) == 0 && one.st_dev == other.st_dev &&
         one.st_ino == other.st_ino;
}

StoreHandle serve_store(const Cluster& cluster) {
  const ListeningPort listening = open_meeting_port(cluster);
  const int handed_over = ::fcntl(listening.socket.get(), F_DUPFD_CLOEXEC, 3);
  if (handed_over < 0) {
    throw DistributedError(
        fmt::format("rank 0 can't open a file descriptor for the store at which the ranks meet: "
                    "{}; raise the limit of open files (ulimit -n)",
                    std::strerror(errno)));
  }
  c10d::TCPStoreOptions options;
  options.port = static_cast<uint16_t>(listening.number);
  options.isServer = true;
  options.waitWorkers = false;
  options.timeout = kAnswer;
  options.masterListenFd = handed_over;  // the store closes it
  try {
    const StoreHandle store = c10::make_intrusive<c10d::TCPStore>("127.0.0.1", options);
    store->set(identity_key(cluster), std::string(kPresent));
    return store;
  } catch (...) {  // perhaps before the store took the descriptor
    if (are_of_one_socket(handed_over, listening.socket.get())) ::close(handed_over);
    throw;
  }
}

/// Whether anything accepts a connection there within a second.
bool accepts_connections(const std::string& host, int64_t port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  if (::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &list) != 0) return false;
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> found(list, &::freeaddrinfo);
  for (const addrinfo* one = list; one != nullptr; one = one->ai_next) {
    const Descriptor socket = open_tcp_socket(one->ai_family);
    const double deadline = files::monotonic_seconds() + kProbeSeconds;
    if (socket.is_open() && connect_until(socket, *one, deadline) == 0) return true;
  }
  return false;
}

/// Begins to connect to the store there. That is done by a thread of its own, which is left behind
/// if nobody waits for it any more: a program that isn't a store may never answer.
std::future<StoreHandle> begin_to_connect(const std::string& host, int64_t port) {
  auto answer = std::make_shared<std::promise<StoreHandle>>();
  auto result = answer->get_future();
  std::thread([answer, host, port] {
    try {
      c10d::TCPStoreOptions options;
      options.port = static_cast<uint16_t>(port);
      options.waitWorkers = false;
      options.timeout = kHandshake;
      answer->set_value(c10::make_intrusive<c10d::TCPStore>(host, options));
    } catch (...) {
      answer->set_exception(std::current_exception());
    }
  }).detach();
  return result;
}

/// Whether the store is that of this run. It may belong to another one, or go away meanwhile.
bool is_own_store(const Cluster& cluster, c10d::Store& store) {
  if (cluster.launcher_serves_store) return true;
  try {
    return store.check({identity_key(cluster)});
  } catch (const std::exception&) {
    return false;
  }
}

/// Looks for the store of a run at all ports where it may be. What answers slowly is asked again in
/// the next call of `find`, over the same connection.
class StoreSearch {
 public:
  explicit StoreSearch(const Cluster& cluster) : cluster_(cluster), host_(host_of_store(cluster)) {}

  /// Returns the store, or null if none has answered yet.
  StoreHandle find() {
    for (int64_t i = 0; i < meeting_ports(cluster_); ++i) {
      const StoreHandle store = connect(meeting_port(cluster_, i));
      if (store == nullptr) continue;
      store->setTimeout(kAnswer);
      if (is_own_store(cluster_, *store)) return store;
    }
    return {};
  }

 private:
  /// Returns the store at that port, or null if there is none or it hasn't answered yet.
  StoreHandle connect(int64_t port) {
    auto pending = pending_.find(port);
    const bool is_new = pending == pending_.end();
    if (is_new) {
      if (!accepts_connections(host_, port)) return {};
      pending = pending_.emplace(port, begin_to_connect(host_, port)).first;
    }
    const auto patience = is_new ? kLookAtPort : std::chrono::milliseconds(0);
    if (pending->second.wait_for(patience) != std::future_status::ready) return {};
    auto result = std::move(pending->second);
    pending_.erase(pending);
    try {
      return result.get();
    } catch (const std::exception&) {  // it isn't a store, or went away
      return {};
    }
  }

  const Cluster& cluster_;
  const std::string host_;
  std::map<int64_t, std::future<StoreHandle>> pending_;  // by port
};

std::string who_waits(const Cluster& cluster, const std::string& whom) {
  return fmt::format(
      "rank {} of {} ({} started it) waits for {}, at {}:{}; start the missing ranks or, {}",
      cluster.rank, cluster.world_size, name_of(cluster.kind), whom, host_of_store(cluster),
      cluster.master_port, how_to_train_alone(cluster.kind));
}

/// Throws DistributedError unless the rank that has put its mark under `key` has the same secret as
/// this one, or none if this one has none.
void require_same_secret(c10d::Store& store, const std::string& key) {
  if (store.get_to_str(key) != kPresent) throw foreign_value(key);
}

std::string present_key(int64_t rank) { return fmt::format("present/{}", rank); }

/// What the first rank that is present says; nothing on the others.
std::string missing_ranks(const Cluster& cluster, c10d::Store& store) {
  std::vector<int64_t> missing;
  for (int64_t rank = 0; rank < cluster.world_size && missing.size() <= kRanksNamed; ++rank) {
    const bool is_here = rank == cluster.rank || store.check({present_key(rank)});
    if (is_here && rank < cluster.rank) return {};
    if (!is_here) missing.push_back(rank);
  }
  if (missing.empty()) return {};
  const bool has_more = missing.size() > kRanksNamed;
  if (has_more) missing.pop_back();
  return who_waits(cluster, fmt::format("{} {}{}", missing.size() == 1 ? "rank" : "ranks",
                                        fmt::join(missing, ", "), has_more ? " and others" : ""));
}

}  // namespace

StoreHandle open_meeting_store(const Cluster& cluster, std::chrono::milliseconds timeout) {
  if (cluster.world_size == 1) return c10::make_intrusive<c10d::HashStore>();
  if (cluster.rank == 0 && !cluster.launcher_serves_store) return serve_store(cluster);
  PolledWait wait({.timeout = static_cast<double>(timeout.count()) / 1e3,
                   .problem = "rank 0 didn't answer",
                   .notice = [&] { return who_waits(cluster, "rank 0"); },
                   .longest = std::chrono::milliseconds(100)});
  for (StoreSearch search(cluster);;) {
    if (auto store = search.find()) return store;
    wait.pause();
  }
}

void close_meeting_store(const Cluster& cluster, c10d::Store& store) {
  const bool is_server = cluster.rank == 0 && !cluster.launcher_serves_store;
  if (is_server && cluster.world_size > 1) store.deleteKey(identity_key(cluster));
}

void wait_for_all_ranks(const Cluster& cluster, c10d::Store& store,
                        std::chrono::milliseconds timeout) {
  if (cluster.world_size == 1) return;
  PolledWait wait({.timeout = static_cast<double>(timeout.count()) / 1e3,
                   .problem = "not all ranks came",
                   .notice = [&] { return missing_ranks(cluster, store); }});
  store.set(present_key(cluster.rank), std::string(kPresent));
  if (cluster.rank != 0) {
    bool knows_rank_0 = false;
    while (!store.check({kAllPresent})) {
      if (!knows_rank_0 && store.check({present_key(0)})) {
        require_same_secret(store, present_key(0));
        knows_rank_0 = true;
      }
      wait.pause();
    }
    return require_same_secret(store, kAllPresent);
  }
  for (int64_t rank = 1; rank < cluster.world_size; ++rank) {
    while (!store.check({present_key(rank)})) wait.pause();
    require_same_secret(store, present_key(rank));
  }
  store.set(kAllPresent, std::string(kPresent));
  for (int64_t rank = 1; rank < cluster.world_size; ++rank) store.deleteKey(present_key(rank));
}

void forget_all_ranks(const Cluster& cluster, c10d::Store& store) {
  if (cluster.rank != 0 || cluster.world_size == 1) return;
  store.deleteKey(present_key(0));
  store.deleteKey(kAllPresent);
}

}  // namespace levin
