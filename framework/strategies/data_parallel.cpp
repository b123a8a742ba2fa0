#include <levin/framework/strategies/data_parallel.h>

#include <algorithm>
#include <cmath>
#include <span>
#include <utility>

#include <ATen/Functions.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>
#include <torch/csrc/distributed/c10d/reducer.hpp>

#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/collectives/meeting_place.h>
#include <levin/framework/collectives/recorded.h>
#include <levin/framework/compression/gradient_compression.h>
#include <levin/framework/core/error.h>
#include <levin/framework/launch/failure_report.h>
#include <levin/framework/optimizers/clip.h>
#include <levin/framework/optimizers/optimizers.h>
#include <levin/framework/profiling/profiler.h>
#include <levin/framework/run/module.h>
#include <levin/framework/strategies/packed_ranks.h>
#include <levin/framework/strategies/sparse_gradients.h>
#include <levin/framework/tensor/torch_error.h>

namespace levin {
namespace {

// The numbers that travel beside the gradients, in the type of the gradients.
constexpr double kRowsUnit = RiderCopies::kRowsUnit;
constexpr size_t kRows = RiderCopies::kRows;
constexpr size_t kLoss = RiderCopies::kLoss;
constexpr size_t kFlags = RiderCopies::kFlags;
static_assert(kFlags + StepFlags::kNumbers == GradientReducer::kRiders);

constexpr double kTimeForNews = 0.3;  // seconds to wait for news of a failure

/// Gives the process group a longer timeout than the heartbeat. If a rank is late, the heartbeat's
/// message, which names that rank, then comes before the error of a broken collective, which
/// doesn't.
ProcessGroupOptions after_the_heartbeat(ProcessGroupOptions options) {
  options.timeout += kTimeForNews + 1.0;
  return options;
}

/// Joins the rows of all ranks and sorts them by their positions, as if one process had made them.
NamedTensors in_order_of_positions(const std::vector<StateDict>& ranks) {
  std::vector<torch::Tensor> positions;
  const Value* names = nullptr;  // of a rank that had any rows
  for (const auto& rank : ranks) {
    positions.push_back(rank.tensor("positions"));
    if (!rank.values.at("names").as_array().empty()) names = &rank.values.at("names");
  }
  NamedTensors result;
  if (names == nullptr) return result;
  const auto order = at::argsort(at::cat(positions));
  for (size_t i = 0; i < names->as_array().size(); ++i) {
    std::vector<torch::Tensor> rows;
    for (const auto& rank : ranks) {
      const auto found = rank.tensors.find("rows." + std::to_string(i));
      if (found != rank.tensors.end()) rows.push_back(found->second);
    }
    auto all = at::cat(rows);
    if (all.size(0) == order.numel()) all = all.index_select(0, order);
    result.emplace_back(names->as_array()[i].as_string(), std::move(all));
  }
  return result;
}

/// Whether `error` says that a connection to another rank broke, so that the other rank may be the
/// one that failed. The texts are those of Gloo, TCPStore and NCCL.
bool is_lost_connection(const std::exception& error) {
  if (dynamic_cast<const DistributedError*>(&error) != nullptr) return true;
  const std::string_view text = error.what();
  for (const std::string_view part : {"gloo/transport", "Connection closed", "Connection reset",
                                      "Broken pipe", "NCCL communicator was aborted"}) {
    if (text.find(part) != text.npos) return true;
  }
  return false;
}

}  // namespace

DataParallelStrategy::DataParallelStrategy(const Cluster& cluster, at::Device device,
                                           DataParallelOptions options)
    : device_(device),
      copies_(device),
      cluster_(cluster),
      options_(std::move(options)),
      group_(cluster, device, after_the_heartbeat(options_.process_group)),
      heartbeat_(cluster.rank, cluster.world_size,
                 {.publish = [this](const std::string& value) { group_.set("heartbeat", value); },
                  .lookup =
                      [this] {
                        return group_.take(
                            "heartbeat", cluster_.world_size - 1,
                            fmt::format("rank {} has waited for 60 s for rank 0 to start its "
                                        "heartbeat",
                                        cluster_.rank));
                      }},
                 {.timeout_seconds = options_.heartbeat_timeout,
                  .stall_seconds = options_.process_group.timeout,
                  .address = own_address(cluster),
                  .secret = cluster.secret},
                 [this] { group_.abort(); }),
      ranks_(group_, heartbeat_),
      riders_(device) {
  if (options_.mesh) {
    const auto mesh = DeviceMesh::of(cluster.world_size, *options_.mesh);
    groups_ = std::make_unique<MeshGroups>(group_, mesh);
    if (&groups_->data() != &group_) data_ranks_.emplace(groups_->data(), heartbeat_);
  }
  group_.barrier();  // throws if a rank has ended since it met the others
}

DataParallelStrategy::~DataParallelStrategy() = default;

void DataParallelStrategy::setup(Module& module) {
  if (shares_layers()) require_layers_to_divide(module, module.class_name());
  left_state_ = StateDict{};
  reducer_.reset();
  optimizer_reducers_.clear();
  norms_.reset();
  divided_.reset();
  ranks_.flags().clear();
  riders_ = RiderCopies(device_);  // copies of an earlier fit may still be under way
  sums_.reset();
  has_unread_flags_ = false;
  module.to(device_);
  std::vector<std::string> names;
  std::vector<torch::Tensor> parameters;
  std::vector<torch::Tensor> everything;
  for (const auto& item : module.named_parameters()) {
    everything.push_back(item.value().detach());
    if (!item.value().requires_grad()) continue;
    names.push_back(item.key());
    parameters.push_back(item.value());
  }
  const auto buffers = module.buffers();
  everything.insert(everything.end(), buffers.begin(), buffers.end());
  sends_buffers_ = options_.broadcast_buffers && data_group().world_size() > 1 && !buffers.empty();
  try {
    c10d::verify_params_across_processes(group_.c10d_group(), everything, std::nullopt);
  } catch (const std::exception& error) {
    throw DistributedError(fmt::format(
        "rank {}: the ranks' models differ: {}; make the same module on every rank, whatever its "
        "rank is",
        group_.rank(), plain_message(error)));
  }
  const at::NoGradGuard no_grad;
  group_.broadcast(everything);
  divide_layers(module);
  log_ = profiler_ != nullptr ? std::make_shared<CommunicationLog>() : nullptr;
  if (parameters.empty()) return;
  if (data_group().world_size() > 1) {
    norms_.emplace(module, data_group(), options_.sync_batchnorm);
  }
  prepare_sums(module, std::move(names), std::move(parameters));
}

void DataParallelStrategy::prepare_sums(const Module& module, std::vector<std::string> names,
                                        std::vector<torch::Tensor> parameters) {
  if (data_group().world_size() == 1) return;
  auto sparse = find_sparse_gradients(module, parameters);
  reducer_ =
      std::make_unique<GradientReducer>(data_group(), std::move(names), std::move(parameters),
                                        options_.gradients, log_, std::move(sparse));
}

torch::Tensor DataParallelStrategy::sum_gradients(const torch::Tensor& loss,
                                                  const torch::Tensor& riders,
                                                  const std::function<void()>& backward) {
  if (data_group().world_size() == 1) {
    if (loss.defined()) backward();
    return riders;
  }
  if (reducer_ == nullptr) {
    throw ModuleError::contract(
        "the module", "none of its parameters requires gradients, so there is nothing to train",
        "let a parameter require gradients, or train in one process");
  }
  return reducer_->run(loss, riders, backward);
}

std::vector<GradientReducer*> DataParallelStrategy::reducers() const {
  std::vector<GradientReducer*> all;
  if (reducer_) all.push_back(reducer_.get());
  for (const auto& reducer : optimizer_reducers_) all.push_back(reducer.get());
  return all;
}

int64_t DataParallelStrategy::sent_bytes() const {
  int64_t bytes = sent_parts();
  for (const auto* reducer : reducers()) bytes += reducer->bytes();
  return bytes;
}

StateDict DataParallelStrategy::own_state() const {
  const auto all = reducers();
  if (all.empty()) return left_state_;
  StateDict state;
  for (size_t i = 0; i < all.size(); ++i) {
    StateDict one = all[i]->state_dict();
    if (!one.empty()) state.add(std::to_string(i), std::move(one));
  }
  return state;
}

void DataParallelStrategy::load_own_states(const std::vector<StateDict>& ranks) {
  const auto all = reducers();
  for (size_t i = 0; i < all.size(); ++i) {
    std::vector<StateDict> states;
    for (const auto& rank : ranks) states.push_back(rank.child(std::to_string(i)));
    all[i]->load_state_dict(compression_state_for(states, group_.rank(), group_.world_size()));
  }
}

void DataParallelStrategy::teardown(Module& /*module*/) {
  left_state_ = own_state();
  reducer_.reset();
  optimizer_reducers_.clear();
  norms_.reset();
  join_layers();
}

void DataParallelStrategy::to_device(Batch& batch) {
  if (!device_.is_cpu()) batch = copies_.copy(batch);
}

/// Adds the flags to the riders, calls `sum` with them, and reads what the ranks were told. At the
/// end it sends rank 0's buffers to the others.
template <class SumRiders>
void DataParallelStrategy::exchange(Module& module, RiderCopies::Riders riders,
                                    const SumRiders& sum) {
  // Before this rank's flags are written: those that the ranks are told of now aren't raised again.
  if (has_unread_flags_) read_flags();
  const std::span<double, GradientReducer::kRiders> numbers(riders);
  ranks_.flags().write(numbers.subspan<kFlags>());
  if (log_ != nullptr) log_->begin();
  sums_ = sum(riders_.send(riders));
  if (shares_layers()) agree_on_flags();
  riders_.fetch(sums_);
  has_unread_flags_ = true;
  if (log_ != nullptr) profiler_->reduced(log_->finish());
  if (!sums_are_late()) read_flags();
  if (sends_buffers_) send_buffers(module);
}

void DataParallelStrategy::send_buffers(const Module& module) {
  const at::NoGradGuard no_grad;
  recorded_broadcast(data_group(), module.buffers(), ExchangeKind::buffers);
}

std::optional<double> DataParallelStrategy::backward(Module& module, const torch::Tensor& loss,
                                                     double weight,
                                                     std::optional<double> window_rows) {
  heartbeat_.check();
  heartbeat_.progress();
  const auto work = [&] {
    module.backward(weight == 1.0 ? loss : loss * weight);
    if (norms_) norms_->end_batch(/*took_part=*/true);
  };
  if (norms_ && !loss.defined()) norms_->end_batch(/*took_part=*/false);
  if (!window_rows) {  // the Reducer expects no gradients yet, so its hooks do nothing
    if (loss.defined()) work();
    return 0.0;
  }
  const Heartbeat::Waiting waiting(heartbeat_);  // backward waits for the slower ranks' gradients
  RiderCopies::Riders riders{};
  riders[kRows] = std::fmod(*window_rows, kRowsUnit);
  if (loss.defined() && sums_losses_) riders[kLoss] = loss.item<double>() * weight;
  riders[kRows + 1] = std::floor(*window_rows / kRowsUnit);
  exchange(module, riders,
           [&](const torch::Tensor& sent) { return sum_gradients(loss, sent, work); });
  const bool is_late = sums_are_late();
  if (is_late && *window_rows > 0.0) return {};
  const auto& sums = riders_.sums();
  if (sums_losses_) summed_loss_ = sums[kLoss];
  const double rows = std::round(sums[kRows]) + kRowsUnit * std::round(sums[kRows + 1]);
  // All ranks scale the gradients in the same way, so that they get the same bits.
  return is_late && rows > 0.0 ? std::nullopt : std::optional(rows);
}

bool DataParallelStrategy::sums_are_late() const {
  return options_.sums_are_late.value_or(!device_.is_cpu()) && !sums_losses_;
}

void DataParallelStrategy::sum_by_optimizer(const Module& module, const Optimizers& optimizers) {
  if (shares_layers()) {
    throw ConfigError::conflict(fmt::format("a module that optimizes by hand with tensor_size = {}",
                                            groups_->mesh().sizes().tensor),
                                "use tensor_size = 1, or let automatic_optimization return true");
  }
  if (is_sharded()) {
    throw ConfigError::conflict(
        "a module that optimizes by hand with a strategy that shards the optimizers' state",
        "use strategy = ddp");
  }
  if (group_.world_size() == 1) return;
  reducer_.reset();
  optimizer_reducers_.clear();
  auto options = options_.gradients;
  options.find_unused_parameters = false;  // there is no loss in whose graph they could be found
  for (const auto& entry : optimizers.entries()) {
    std::vector<std::string> names;
    std::vector<torch::Tensor> parameters;
    for (const auto& group : entry.optimizer->groups()) {
      for (size_t i = 0; i < group.parameters.size(); ++i) {
        if (!group.parameters[i].requires_grad()) continue;
        names.push_back(group.names[i]);
        parameters.push_back(group.parameters[i]);
      }
    }
    if (parameters.empty()) {
      throw ModuleError::contract(
          "configure_optimizers",
          fmt::format("optimizer {} has no parameter that requires gradients",
                      optimizer_reducers_.size()),
          "let a parameter require gradients, or leave out the optimizer");
    }
    auto sparse = find_sparse_gradients(module, parameters);
    optimizer_reducers_.push_back(std::make_unique<GradientReducer>(
        group_, std::move(names), std::move(parameters), options, log_, std::move(sparse)));
  }
}

void DataParallelStrategy::sum_gradients_of(Module& module, size_t optimizer) {
  heartbeat_.check();
  heartbeat_.progress();
  const Heartbeat::Waiting waiting(heartbeat_);
  exchange(module, {}, [&](const torch::Tensor& sent) {
    return optimizer_reducers_.empty() ? sent
                                       : optimizer_reducers_[optimizer]->run({}, sent, [] {});
  });
}

void DataParallelStrategy::read_flags() {
  has_unread_flags_ = false;
  ranks_.flags().read(std::span(riders_.sums()).subspan<kFlags>(), ranks_);
}

void DataParallelStrategy::scale_gradients(const std::vector<torch::Tensor>& tensors,
                                           double full_rows) {
  const at::NoGradGuard no_grad;
  const auto rows = sums_.select(0, kRows).add(sums_.select(0, kRows + 1), kRowsUnit);
  levin::scale_gradients(tensors, at::full({}, full_rows, at::kDouble) / rows);
}

NamedTensors DataParallelStrategy::gather_rows(NamedTensors own,
                                               const std::vector<int64_t>& positions) {
  if (data_ranks_ && data_ranks_->size() == 1) return own;  // every rank has all rows
  StateDict packed;
  packed.tensors["positions"] = at::tensor(at::ArrayRef<int64_t>(positions), at::kLong);
  Value::Array names;
  for (const auto& [name, tensor] : own) {
    packed.tensors["rows." + std::to_string(names.size())] = tensor;
    names.push_back(name);
  }
  packed.values["names"] = std::move(names);
  std::vector<StateDict> all;
  const std::string bytes = checkpoint_bytes(packed);
  const auto sent = static_cast<int64_t>(bytes.size()) * (data_ranks().size() - 1);
  auto texts = group_.exchanges().record(ExchangeKind::predictions, sent,
                                         [&] { return data_ranks().gather(bytes); });
  for (auto& text : texts) all.push_back(checkpoint_from_bytes(std::move(text)));
  return in_order_of_positions(all);
}

std::string DataParallelStrategy::fail(const std::exception& error) noexcept {
  if (divided_) divided_->abandon();
  try {
    const bool is_lost = is_lost_connection(error);
    // A rank that lost a connection waits a little for the news of which rank failed.
    const std::string cause = heartbeat_.failure(is_lost ? kTimeForNews : 0.0);
    report_failure(cause.empty() ? error.what() : cause, is_lost || !cause.empty());
    heartbeat_.tell(error.what(), is_lost);
    return cause;
  } catch (...) {
    return {};
  }
}

}  // namespace levin
