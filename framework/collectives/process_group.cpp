#include <levin/framework/collectives/process_group.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include <ATen/Functions.h>
#include <fmt/format.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>
#include <torch/csrc/distributed/c10d/comm.hpp>

#include <levin/framework/collectives/backends.h>
#include <levin/framework/collectives/gloo.h>
#include <levin/framework/collectives/group_part.h>
#include <levin/framework/collectives/host_memory.h>
#include <levin/framework/collectives/host_sum.h>
#include <levin/framework/collectives/meeting_place.h>
#include <levin/framework/collectives/meeting_store.h>
#include <levin/framework/collectives/polled_wait.h>
#include <levin/framework/collectives/sealed_store.h>
#include <levin/framework/core/error.h>
#include <levin/framework/profiling/communication_log.h>
#include <levin/framework/tensor/torch_error.h>

namespace levin {
namespace {

constexpr double kMostOfMemoryForSums = 0.125;
constexpr size_t kBroadcastBytes = size_t{250} << 20;  // in one message

using Group = c10::intrusive_ptr<c10d::ProcessGroup>;

/// Runs `work`. Turns exceptions that aren't Levin's into DistributedError, which adds the rank on
/// which they were thrown, and what to do.
template <class Work>
auto joined(int64_t rank, const std::string& what, const Work& work,
            const std::string& hint = kOtherRankHint) {
  try {
    return work();
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    throw DistributedError(
        fmt::format("rank {}: {}: {}; {}", rank, what, plain_message(error), hint));
  }
}

/// Deletes keys by `work`. It is no error if the store is gone, because rank 0 may have ended.
template <class Work>
void tidy_up(const Work& work) {
  try {
    work();
  } catch (const std::exception&) {
  }
}

c10d::ReduceOp op_of(ProcessGroup::Op op) {
  switch (op) {
    case ProcessGroup::Op::min:
      return c10d::ReduceOp::MIN;
    case ProcessGroup::Op::max:
      return c10d::ReduceOp::MAX;
    default:
      return c10d::ReduceOp::SUM;
  }
}

}  // namespace

class ProcessGroup::Implementation {
 public:
  Implementation(const Cluster& cluster_, at::Device device_, const ProcessGroupOptions& options)
      : cluster(cluster_),
        global_rank(cluster.rank),
        device(device_),
        backend(backend_of(options.backend, device)),
        may_share_memory(options.backend == "auto" && device.is_cpu()),
        shares_memory(may_share_memory && cluster.num_nodes == 1),
        timeout(static_cast<int64_t>(std::max(options.timeout, 0.001) * 1e3)),
        aborts(std::make_shared<GroupAborts>()),
        exchanges(std::make_shared<ExchangeLog>()) {
    const auto meeting_work = [&] { meeting = meet(cluster, timeout); };
    joined(cluster.rank, "the ranks didn't meet", meeting_work, hint());
    store = sealed_store();
    const auto all = [&] {
      wait_for_all_ranks(cluster, *store, timeout);
      close_meeting_store(cluster, *meeting.inside);
    };
    joined(cluster.rank, "the ranks couldn't be joined", all, hint());
    join("levin");
  }

  Implementation(Implementation& other, const std::vector<int64_t>& ranks, const std::string& name)
      : cluster(part_of(other.cluster, ranks)),
        global_rank(other.global_rank),
        device(other.device),
        backend(other.backend),
        may_share_memory(other.may_share_memory),
        shares_memory(other.shares_memory),
        timeout(other.timeout),
        // The number hides the outdated values that an earlier group of that name left in the
        // store.
        meeting{other.meeting.inside, fmt::format("{}/{}-{}/{}", other.meeting.prefix, name,
                                                  other.made_from_it++, ranks.front())},
        aborts(other.aborts->make_another()),
        exchanges(other.exchanges) {
    if (cluster.rank < 0) return;
    store = sealed_store();
    join(name);
    if (!may_share_memory || shares_memory) return;
    joined(global_rank, "all_reduce", [&] { shares_memory = is_on_one_host(); });
  }

  /// To be called when all ranks are known to be joined: deletes the keys by which Gloo joined
  /// them.
  void forget_addresses() {
    if (addresses == nullptr) return;
    tidy_up([&] {
      delete_keys_set(*addresses);
      forget_all_ranks(cluster, *store);
    });
    addresses.reset();
  }

  /// Runs `work`, a collective named `what`; its errors name this rank of the run.
  template <class Work>
  auto joined_ranks(const std::string& what, const Work& work) const {
    require_member();
    return joined(global_rank, what, work);
  }

  /// Throws DistributedError if this rank isn't one of the group's.
  void require_member() const {
    if (cluster.rank >= 0) return;
    throw DistributedError(fmt::format(
        "rank {} isn't in this group of {} ranks; ask ProcessGroup::is_member before using it",
        global_rank, cluster.world_size));
  }

  const Cluster cluster;  // as if the ranks of the group were all there are
  const int64_t global_rank;
  const at::Device device;
  const std::string backend;
  const bool may_share_memory;
  bool shares_memory;
  const std::chrono::milliseconds timeout;
  Meeting meeting;
  c10::intrusive_ptr<c10d::Store> store;
  /// What Gloo has put into the store until `forget_addresses`.
  c10::intrusive_ptr<c10d::Store> addresses;
  Group group;
  std::shared_ptr<GroupAborts> aborts;
  std::shared_ptr<ExchangeLog> exchanges;
  /// The number of groups that were made from this one.
  int64_t made_from_it = 0;
  int last_tag = 1 << 16;  // above those that other code chooses

 private:
  std::string hint() const {
    return fmt::format("start all {} ranks, each so that it reaches {}:{}, within timeout = {} s",
                       cluster.world_size, cluster.master_address, cluster.master_port,
                       static_cast<double>(timeout.count()) / 1e3);
  }

  void join(const std::string& name) {
    const auto work = [&] { group = joined_group(name); };
    joined(global_rank, "the ranks couldn't be joined", work, hint());
    aborts->set(group);
  }

  bool is_on_one_host() {
    std::vector<at::Tensor> first{at::full({1}, cluster.node_rank, at::kLong)};
    std::vector<at::Tensor> last{first[0].clone()};
    c10d::AllreduceOptions options;
    options.reduceOp = c10d::ReduceOp::MIN;
    group->allreduce(first, options)->wait();
    options.reduceOp = c10d::ReduceOp::MAX;
    group->allreduce(last, options)->wait();
    return first[0].item<int64_t>() == last[0].item<int64_t>();
  }

  c10::intrusive_ptr<c10d::Store> sealed(SealedStoreOptions options = {}) const {
    return make_sealed_store(meeting.inside, RunSecret(cluster.secret), timeout,
                             std::move(options));
  }
  c10::intrusive_ptr<c10d::Store> sealed_store() const {
    return c10::make_intrusive<c10d::PrefixStore>(meeting.prefix, sealed());
  }

  Group joined_group(const std::string& name) {
    auto result = c10::make_intrusive<c10d::ProcessGroup>(store, static_cast<int>(cluster.rank),
                                                          static_cast<int>(cluster.world_size));
    addresses = sealed({.clean = clear_unused_bytes, .notes_keys = true});
    add_backends(*result, backend, device,
                 c10::make_intrusive<c10d::PrefixStore>(meeting.prefix + "/gloo", addresses),
                 timeout, own_address(cluster));
    result->setGroupName(name);
    return result;
  }
};

ProcessGroup::ProcessGroup(const Cluster& cluster, at::Device device, ProcessGroupOptions options)
    : implementation_(std::make_unique<Implementation>(cluster, device, options)) {}
ProcessGroup::ProcessGroup(const ProcessGroup& other, const std::string& name)
    : ProcessGroup(other, all_ranks(other.world_size()), name) {}
ProcessGroup::ProcessGroup(const ProcessGroup& other, const std::vector<int64_t>& ranks,
                           const std::string& name)
    : implementation_(std::make_unique<Implementation>(*other.implementation_, ranks, name)) {
  // The barrier also deletes from the store the keys by which Gloo joined the ranks.
  if (is_member()) barrier();
}
ProcessGroup::~ProcessGroup() = default;

int64_t ProcessGroup::rank() const { return implementation_->cluster.rank; }
int64_t ProcessGroup::global_rank() const { return implementation_->global_rank; }
int64_t ProcessGroup::world_size() const { return implementation_->cluster.world_size; }
const Group& ProcessGroup::c10d_group() const { return implementation_->group; }

ExchangeLog& ProcessGroup::exchanges() { return *implementation_->exchanges; }

void ProcessGroup::all_reduce(torch::Tensor tensor, Op op) {
  implementation_->joined_ranks("all_reduce", [&] {
    std::vector<at::Tensor> tensors{std::move(tensor)};
    c10d::AllreduceOptions options;
    options.reduceOp = op_of(op);
    implementation_->group->allreduce(tensors, options)->wait();
  });
}

torch::Tensor ProcessGroup::all_gather(const torch::Tensor& tensor) {
  return implementation_->joined_ranks("all_gather", [&] {
    std::vector<at::Tensor> mine{tensor.contiguous()};
    std::vector<std::vector<at::Tensor>> all(1);
    for (int64_t i = 0; i < world_size(); ++i) all[0].push_back(at::empty_like(mine[0]));
    implementation_->group->allgather(all, mine)->wait();
    return at::stack(all[0]);
  });
}

void ProcessGroup::all_gather_chunks(const std::vector<torch::Tensor>& tensors) {
  if (world_size() == 1) return;
  implementation_->joined_ranks("all_gather_chunks", [&] {
    std::vector<c10::intrusive_ptr<c10d::Work>> works;
    for (const auto& tensor : tensors) {  // as bytes, because backends know few types
      auto all = tensor.view(at::kByte);
      auto own = all.chunk(world_size())[static_cast<size_t>(rank())];
      works.push_back(implementation_->group->_allgather_base(all, own));
    }
    for (const auto& work : works) work->wait();
  });
}

std::vector<std::string> ProcessGroup::all_gather_text(const std::string& text) {
  const auto size = static_cast<int64_t>(text.size());
  const torch::Tensor sizes = all_gather(at::full({1}, size, at::kLong));
  const auto longest = sizes.max().item<int64_t>();
  auto padded = at::zeros({std::max<int64_t>(longest, 1)}, at::kByte);
  std::copy_n(text.data(), text.size(),
              reinterpret_cast<char*>(padded.mutable_data_ptr<uint8_t>()));
  const torch::Tensor all = all_gather(padded);
  std::vector<std::string> texts;
  for (int64_t rank = 0; rank < world_size(); ++rank) {
    const auto* data = reinterpret_cast<const char*>(all[rank].const_data_ptr<uint8_t>());
    texts.emplace_back(data, static_cast<size_t>(sizes[rank].item<int64_t>()));
  }
  return texts;
}

void ProcessGroup::broadcast(std::vector<torch::Tensor> tensors) {
  if (tensors.empty()) return;
  implementation_->joined_ranks("broadcast", [&] {
    c10d::broadcast_coalesced(implementation_->group, tensors, kBroadcastBytes, 0);
  });
}

void ProcessGroup::barrier() {
  // The barrier of c10d's ProcessGroup itself shares one tensor among all threads of the process.
  implementation_->joined_ranks("barrier", [&] {
    implementation_->group->getDefaultBackend()->barrier()->wait();
    implementation_->forget_addresses();
  });
}

std::shared_ptr<std::byte> ProcessGroup::shared_memory(size_t bytes, double most) {
  auto memory = rank() == 0 ? HostMemory::create(bytes, most) : HostMemory();
  const std::string address = all_gather_text(memory.address()).front();
  if (rank() != 0) memory = HostMemory::open(address, bytes);
  const auto all_have_it = at::full({1}, memory.data() != nullptr ? 1 : 0, at::kInt);
  all_reduce(all_have_it, Op::min);
  return all_have_it.item<int>() == 1 ? memory.data() : nullptr;
}

std::shared_ptr<HostSum> ProcessGroup::host_sum(size_t bytes) {
  if (!implementation_->shares_memory || world_size() == 1) return nullptr;
  auto memory = shared_memory(HostSum::memory_size(world_size(), bytes), kMostOfMemoryForSums);
  if (memory == nullptr) return nullptr;
  return std::make_shared<HostSum>(
      std::move(memory),
      HostSumOptions{
          .rank = rank(),
          .world_size = world_size(),
          .bytes = bytes,
          .timeout = static_cast<double>(implementation_->timeout.count()) / 1e3,
          .is_aborted = [own = implementation_.get()] { return own->aborts->aborted(); }});
}

int ProcessGroup::new_tag() { return ++implementation_->last_tag; }

void ProcessGroup::set(const std::string& key, const std::string& value) {
  implementation_->joined_ranks("set", [&] { implementation_->store->set(key, value); });
}

/// Polls the store. A call that waits in the store would make the calls of other threads wait, too.
std::string ProcessGroup::get(const std::string& key, const std::string& notice) {
  auto& own = *implementation_;
  return implementation_->joined_ranks(fmt::format("waiting for '{}'", key), [&] {
    PolledWait wait({.timeout = static_cast<double>(own.timeout.count()) / 1e3,
                     .notice = [&] { return notice; },
                     .notice_after = 60.0,
                     .is_aborted = [&] { return own.aborts->aborted(); }});
    while (!own.store->check({key})) wait.pause();
    return own.store->get_to_str(key);
  });
}

std::string ProcessGroup::take(const std::string& key, int64_t readers, const std::string& notice) {
  std::string value = get(key, notice);
  tidy_up([&] {
    auto& store = *implementation_->store;
    const std::string count = key + "/taken";
    if (readers > 1 && store.add(count, 1) < readers) return;
    store.deleteKey(key);
    if (readers > 1) store.deleteKey(count);
  });
  return value;
}

void ProcessGroup::abort() noexcept { implementation_->aborts->abort(); }

}  // namespace levin
