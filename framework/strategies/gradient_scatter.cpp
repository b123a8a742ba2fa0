#include <levin/framework/strategies/gradient_scatter.h>

#include <algorithm>
#include <atomic>
#include <optional>

#include <ATen/Functions.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/utils/lambda_post_hook.h>
#include <torch/csrc/autograd/variable.h>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>

#include <levin/framework/compression/gradient_compression.h>
#include <levin/framework/core/error.h>
#include <levin/framework/tensor/torch_error.h>

namespace levin {
namespace {

constexpr int64_t kRiderBytes = GradientReducer::kRiders * sizeof(double);

/// The type in which sums are kept. Sums in types of two bytes would lose precision with every
/// rank.
at::ScalarType sum_type(at::ScalarType type) {
  return type == at::kHalf || type == at::kBFloat16 ? at::kFloat : type;
}

}  // namespace

/// Sends each buffer's gradients in one tensor, [world_size, row bytes]. A row is what one rank
/// gets: its chunk and, behind the chunk of the last buffer, the riders and, with
/// find_unused_parameters, a byte for each parameter that says whether it was used.
class GradientScatter::Implementation {
 public:
  Implementation(ProcessGroup& group, std::vector<std::string> names, FlatParameters& parameters,
                 const GradientReducerOptions& options, std::shared_ptr<CommunicationLog> log);
  ~Implementation();
  void begin(const torch::Tensor& riders);
  torch::Tensor finish(bool has_loss);
  int64_t bytes() const { return bytes_; }

 private:
  struct Transfer {
    at::ScalarType type{};  // the type in which it is sent
    int64_t chunk_bytes = 0;
    size_t missing = 0;      // gradients that aren't complete
    torch::Tensor outgoing;  // [world_size, row bytes]
    torch::Tensor incoming;
    c10::intrusive_ptr<c10d::Work> work;
  };

  void watch(size_t parameter);
  void take(size_t parameter, bool is_used);
  torch::Tensor chunk_of(const Transfer& transfer, const torch::Tensor& rows, int64_t rank) const;
  void send_complete();
  void send(Transfer& transfer);
  void put_riders(const Transfer& transfer) const;
  void receive(size_t number);
  void receive_riders(const Transfer& transfer);
  void give(size_t parameter, const torch::Tensor& sum) const;
  void complete(bool has_loss);

  ProcessGroup& group_;
  std::vector<std::string> names_;
  FlatParameters& flat_;
  std::shared_ptr<CommunicationLog> log_;
  bool find_unused_;
  int64_t rider_bytes_;
  std::atomic<int64_t> bytes_{0};
  std::vector<std::pair<std::shared_ptr<torch::autograd::Node>, uintptr_t>> watched_;

  // The members below hold the state of one run. All hooks come from one thread, because all
  // parameters are on one device.
  bool is_running_ = false;
  torch::Tensor riders_;  // after receiving, their sums
  std::vector<uint8_t> taken_;
  std::vector<uint8_t> used_;  // on this rank; after receiving, on any rank
  std::vector<Transfer> transfers_;
  size_t next_sent_ = 0;  // all ranks send the buffers in the same order
  size_t next_received_ = 0;
};

GradientScatter::Implementation::Implementation(ProcessGroup& group, std::vector<std::string> names,
                                                FlatParameters& parameters,
                                                const GradientReducerOptions& options,
                                                std::shared_ptr<CommunicationLog> log)
    : group_(group),
      names_(std::move(names)),
      flat_(parameters),
      log_(std::move(log)),
      find_unused_(options.find_unused_parameters),
      rider_bytes_(kRiderBytes + (find_unused_ ? static_cast<int64_t>(names_.size()) : 0)) {
  rider_bytes_ = (rider_bytes_ + FlatParameters::kAlignment - 1) / FlatParameters::kAlignment *
                 FlatParameters::kAlignment;
  const auto sent_as = sent_type(options.compression);
  for (const auto& buffer : flat_.buffers()) {
    Transfer transfer;
    transfer.type = buffer.flat.scalar_type();
    if (sent_as && at::isFloatingType(transfer.type)) transfer.type = *sent_as;
    const auto entry = static_cast<int64_t>(c10::elementSize(transfer.type));
    transfer.chunk_bytes = (buffer.chunk * entry + FlatParameters::kAlignment - 1) /
                           FlatParameters::kAlignment * FlatParameters::kAlignment;
    transfers_.push_back(std::move(transfer));
  }
  for (size_t i = 0; i < names_.size(); ++i) watch(i);
}

GradientScatter::Implementation::~Implementation() {
  for (const auto& [node, key] : watched_) node->del_post_hook(key);
}

void GradientScatter::Implementation::watch(size_t parameter) {
  auto node = torch::autograd::impl::grad_accumulator(flat_.parameters()[parameter]);
  const auto key = node->add_post_hook(std::make_unique<torch::autograd::utils::LambdaPostHook>(
      [this, parameter](const torch::autograd::variable_list& outputs,
                        const torch::autograd::variable_list&) {
        if (is_running_) {
          take(parameter, true);
          send_complete();
        }
        return outputs;
      }));
  watched_.emplace_back(std::move(node), key);
}

void GradientScatter::Implementation::begin(const torch::Tensor& riders) {
  riders_ = riders;
  taken_.assign(names_.size(), 0);
  used_.assign(names_.size(), 0);
  for (size_t b = 0; b < transfers_.size(); ++b) {
    auto& transfer = transfers_[b];
    transfer.missing = flat_.buffers()[b].parameters.size();
    transfer.outgoing.reset();  // a run that failed has left them
    transfer.incoming.reset();
    transfer.work.reset();
  }
  next_sent_ = next_received_ = 0;
  is_running_ = true;
}

/// Copies a gradient to the tensor from which it is sent, and frees it.
void GradientScatter::Implementation::take(size_t parameter, bool is_used) {
  const at::NoGradGuard no_grad;
  if (taken_[parameter] != 0) {
    throw ModuleError::contract(
        "backward", fmt::format("gave parameter '{}' a gradient twice", names_[parameter]),
        "add up the losses and call backward once");
  }
  taken_[parameter] = 1;
  used_[parameter] = is_used ? 1 : 0;
  const auto& place = flat_.place(parameter);
  auto& transfer = transfers_[place.buffer];
  if (!transfer.outgoing.defined()) {
    const auto& buffer = flat_.buffers()[place.buffer];
    const bool is_last = place.buffer + 1 == transfers_.size();
    transfer.outgoing =
        at::empty({group_.world_size(), transfer.chunk_bytes + (is_last ? rider_bytes_ : 0)},
                  buffer.flat.options().dtype(at::kByte));
  }
  auto& gradient = flat_.parameters()[parameter].mutable_grad();
  if (gradient.defined() && gradient.layout() != at::kStrided) {
    throw ModuleError::contract(
        "backward", fmt::format("gave parameter '{}' a sparse gradient", names_[parameter]),
        "use strategy = ddp, or make the gradient dense");
  }
  const auto from = gradient.defined() ? gradient.reshape({-1}) : torch::Tensor();
  for (int64_t rank = 0; rank < group_.world_size(); ++rank) {
    const auto piece = flat_.piece(parameter, rank);
    if (piece.count == 0) continue;
    auto to = chunk_of(transfer, transfer.outgoing, rank).narrow(0, piece.in_chunk, piece.count);
    if (from.defined()) {
      to.copy_(from.narrow(0, piece.in_parameter, piece.count));
    } else {
      to.zero_();
    }
  }
  gradient.reset();
  --transfer.missing;
}

/// The chunk in one rank's row, as entries of the type in which it is sent.
torch::Tensor GradientScatter::Implementation::chunk_of(const Transfer& transfer,
                                                        const torch::Tensor& rows,
                                                        int64_t rank) const {
  return rows.select(0, rank).narrow(0, 0, transfer.chunk_bytes).view(transfer.type);
}

void GradientScatter::Implementation::send_complete() {
  const at::NoGradGuard no_grad;
  while (next_sent_ < transfers_.size() && transfers_[next_sent_].missing == 0) {
    // Adding up what has arrived by now frees its memory.
    while (next_received_ < next_sent_ && transfers_[next_received_].work->isCompleted()) {
      receive(next_received_++);
    }
    send(transfers_[next_sent_++]);
  }
}

void GradientScatter::Implementation::send(Transfer& transfer) {
  if (&transfer == &transfers_.back()) put_riders(transfer);
  transfer.incoming = at::empty_like(transfer.outgoing);
  const int64_t bytes = static_cast<int64_t>(transfer.outgoing.nbytes()) / group_.world_size() *
                        (group_.world_size() - 1);
  bytes_ += bytes;
  const auto ticket = log_ ? log_->started(bytes) : CommunicationLog::Ticket{};
  std::vector<int64_t> equal;
  transfer.work =
      group_.c10d_group()->alltoall_base(transfer.incoming, transfer.outgoing, equal, equal);
  if (!log_) return;
  transfer.work->getFuture()->addCallback(
      [log = log_, ticket](c10::ivalue::Future&) { log->ended(ticket); });
}

void GradientScatter::Implementation::put_riders(const Transfer& transfer) const {
  const auto rows = transfer.outgoing.narrow(1, transfer.chunk_bytes, rider_bytes_);
  rows.narrow(1, 0, kRiderBytes).copy_(riders_.view(at::kByte));
  if (!find_unused_) return;
  rows.narrow(1, kRiderBytes, static_cast<int64_t>(used_.size()))
      .copy_(at::tensor(at::ArrayRef<uint8_t>(used_), at::kByte));
}

/// Adds up what the ranks sent; the sum becomes the gradient of the slices.
void GradientScatter::Implementation::receive(size_t number) {
  auto& transfer = transfers_[number];
  try {
    transfer.work->wait();
  } catch (const std::exception& error) {
    throw DistributedError(
        fmt::format("rank {}: sending gradients: {}", group_.rank(), plain_message(error)));
  }
  transfer.work.reset();
  transfer.outgoing.reset();
  if (number + 1 == transfers_.size()) receive_riders(transfer);
  const auto& buffer = flat_.buffers()[number];
  const auto type = buffer.flat.scalar_type();
  auto sum = chunk_of(transfer, transfer.incoming, 0).to(sum_type(type), false, /*copy=*/true);
  for (int64_t rank = 1; rank < group_.world_size(); ++rank) {
    sum.add_(chunk_of(transfer, transfer.incoming, rank));
  }
  sum = sum.to(type);
  transfer.incoming.reset();
  for (const size_t i : buffer.parameters) give(i, sum);
}

void GradientScatter::Implementation::receive_riders(const Transfer& transfer) {
  const auto rows = transfer.incoming.narrow(1, transfer.chunk_bytes, rider_bytes_);
  riders_ = rows.narrow(1, 0, kRiderBytes).contiguous().view(at::kDouble).sum(0);
  if (!find_unused_) return;  // `take` counts all of them as used
  const auto count = static_cast<int64_t>(used_.size());
  const auto used = std::get<0>(rows.narrow(1, kRiderBytes, count).max(0)).cpu();
  std::copy_n(used.const_data_ptr<uint8_t>(), count, used_.begin());
}

void GradientScatter::Implementation::give(size_t parameter, const torch::Tensor& sum) const {
  const auto& slice = flat_.slices()[parameter];
  if (!slice.tensor.defined()) return;
  const auto piece = flat_.piece(parameter, group_.rank());
  slice.tensor.mutable_grad() = sum.narrow(0, piece.in_chunk, piece.count);
}

/// Takes the gradients of which no hook has told: those that a module wrote without autograd, and
/// those that earlier batches of the window left. A parameter without a gradient counts as zeros.
void GradientScatter::Implementation::complete(bool has_loss) {
  for (size_t i = 0; i < names_.size(); ++i) {
    if (taken_[i] != 0) continue;
    const bool has_gradient = flat_.parameters()[i].grad().defined();
    if (!has_gradient && has_loss && !find_unused_) {
      throw ModuleError::contract(
          "backward", fmt::format("left parameter '{}' without a gradient", names_[i]),
          "set find_unused_parameters = true, or let the loss depend on it");
    }
    take(i, has_gradient || !find_unused_);
  }
  send_complete();
}

torch::Tensor GradientScatter::Implementation::finish(bool has_loss) {
  const at::NoGradGuard no_grad;
  is_running_ = false;
  complete(has_loss);
  while (next_received_ < transfers_.size()) receive(next_received_++);
  for (size_t i = 0; i < names_.size(); ++i) {  // unused ones have none, so they aren't stepped
    const auto& slice = flat_.slices()[i];
    if (used_[i] == 0 && slice.tensor.defined()) slice.tensor.mutable_grad().reset();
  }
  return riders_;
}

GradientScatter::GradientScatter(ProcessGroup& group, std::vector<std::string> names,
                                 FlatParameters& parameters, const GradientReducerOptions& options,
                                 std::shared_ptr<CommunicationLog> log)
    : implementation_(std::make_unique<Implementation>(group, std::move(names), parameters, options,
                                                       std::move(log))) {}
GradientScatter::~GradientScatter() = default;
void GradientScatter::begin(const torch::Tensor& riders) { implementation_->begin(riders); }
torch::Tensor GradientScatter::finish(bool has_loss) { return implementation_->finish(has_loss); }
int64_t GradientScatter::bytes() const { return implementation_->bytes(); }

}  // namespace levin
