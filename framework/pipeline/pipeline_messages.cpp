// The messages of a pipeline.

#include <levin/framework/pipeline/pipeline.h>

#include <algorithm>

#include <ATen/Functions.h>
#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/profiling/communication_log.h>

namespace levin {
namespace {

constexpr int64_t kHeader = 16;  // numbers: the type, the number of sizes, the sizes of a row

size_t index_of_kind(PipelineAction::Kind kind) {
  return kind == PipelineAction::Kind::forward ? 0 : 1;
}

}  // namespace

/// Behind the tags of outputs and gradients.
int64_t Pipeline::header_tag(int64_t stage) const { return 2 * schedule_.stages() + 2 + stage; }

/// Whether another rank sends what `action` begins with.
bool Pipeline::comes_from_elsewhere(const PipelineAction& action) const {
  const bool is_forward = action.kind == PipelineAction::Kind::forward;
  const bool has_neighbour = action.stage != (is_forward ? 0 : schedule_.stages() - 1);
  return has_neighbour && schedule_.sizes().ranks > 1;
}

/// Begins to receive what `action` begins with. That may need to wait for the layout of it, which
/// is then left for later unless `may_wait`.
void Pipeline::expect(const PipelineAction& action, bool may_wait) {
  if (!comes_from_elsewhere(action)) return;
  const size_t kind = index_of_kind(action.kind);
  const Key key(action.stage, action.micro_batch);
  if (expected_[kind].contains(key)) return;
  const int64_t into = action.stage + static_cast<int64_t>(kind);  // whose input it is, or was
  const Layout* layout = layout_into(into, may_wait);
  if (layout == nullptr) return;
  std::vector<int64_t> sizes{rows_of(action)};
  sizes.insert(sizes.end(), layout->row.begin(), layout->row.end());
  auto buffer = at::empty(sizes, at::TensorOptions(device_).dtype(layout->type));
  const int64_t from = schedule_.rank_of(kind == 0 ? action.stage - 1 : action.stage + 1);
  expected_[kind][key] =
      messages_.receive(std::move(buffer), from, 2 * into + 1 - static_cast<int64_t>(kind));
}

torch::Tensor Pipeline::take(const PipelineAction& action) {
  const size_t kind = index_of_kind(action.kind);
  const Key key(action.stage, action.micro_batch);
  if (auto here = here_[kind].extract(key)) return std::move(here.mapped());
  auto message = received(action);
  // The gradient of outputs shows that they have arrived, so that their memory can be freed.
  const int64_t next = action.stage + 1;
  if (kind == 1) messages_.wait_for_send(schedule_.rank_of(next), 2 * next + 1);
  return message;
}

/// Waits for what another rank sends, and measures how long.
torch::Tensor Pipeline::received(const PipelineAction& action) {
  const size_t kind = index_of_kind(action.kind);
  auto receipt = std::move(expected_[kind].extract({action.stage, action.micro_batch}).mapped());
  if (!trains_) {
    return group_.exchanges().record(ExchangeKind::outputs, 0, [&] { return receipt.wait(); });
  }
  const double before = messages_.figures().waiting;
  auto message = receipt.wait();
  (kind == 0 ? batch_.for_outputs : batch_.for_gradients) += messages_.figures().waiting - before;
  return message;
}

/// Gives the result of a pass to the pass that needs it.
void Pipeline::hand_on(const PipelineAction& from, const torch::Tensor& tensor) {
  const size_t kind = index_of_kind(from.kind);
  const int64_t to = kind == 0 ? from.stage + 1 : from.stage - 1;
  if (schedule_.sizes().ranks == 1) {
    here_[kind][{to, from.micro_batch}] = tensor;
    return;
  }
  // Messages between two stages have one tag for each direction: they come in the same order as
  // the micro-batches.
  const int64_t into = kind == 0 ? to : from.stage;
  messages_.send(tensor, schedule_.rank_of(to), 2 * into + 1 - static_cast<int64_t>(kind));
}

/// Tells the rank of `stage` what it gets, the first time; later, checks that it is the same.
void Pipeline::announce(int64_t stage, const torch::Tensor& own) {
  const Layout layout{own.scalar_type(), own.sizes().slice(1).vec()};
  const auto [known, is_new] = layouts_[trains_ ? 1 : 0].emplace(stage, layout);
  if (!is_new) {
    if (known->second.type == layout.type && known->second.row == layout.row) return;
    throw ModuleError::contract(
        "layers",
        fmt::format("stage {} returned rows of {} {}, and of {} {} before", stage - 1,
                    c10::str(at::IntArrayRef(layout.row)), c10::toString(layout.type),
                    c10::str(at::IntArrayRef(known->second.row)),
                    c10::toString(known->second.type)),
        "in a pipeline, the rows that pass from one stage to the next keep their size and type");
  }
  if (static_cast<int64_t>(layout.row.size()) > kHeader - 2) {
    throw ModuleError::contract("layers",
                                fmt::format("returned a tensor of {} dimensions", own.dim()),
                                fmt::format("return at most {}", kHeader - 1));
  }
  auto header = at::zeros({kHeader}, at::kLong);
  auto* numbers = header.mutable_data_ptr<int64_t>();
  numbers[0] = static_cast<int64_t>(layout.type);
  numbers[1] = static_cast<int64_t>(layout.row.size());
  std::copy(layout.row.begin(), layout.row.end(), numbers + 2);
  header = header.to(device_);
  if (stage == schedule_.stages()) {
    messages_.broadcast(header, group_.rank());
  } else if (schedule_.sizes().ranks > 1) {
    messages_.send(header, schedule_.rank_of(stage), header_tag(stage));
  }
}

/// What goes into `stage`. If this rank hasn't been told yet, it waits for it, or returns null.
const Pipeline::Layout* Pipeline::layout_into(int64_t stage, bool may_wait) {
  auto& layouts = layouts_[trains_ ? 1 : 0];
  const auto known = layouts.find(stage);
  if (known != layouts.end()) return &known->second;
  if (!may_wait) return nullptr;
  auto header = at::empty({kHeader}, at::TensorOptions(device_).dtype(at::kLong));
  if (stage == schedule_.stages()) {
    messages_.broadcast(header, schedule_.rank_of(stage - 1));
  } else {
    header = messages_.receive(header, schedule_.rank_of(stage - 1), header_tag(stage)).wait();
  }
  header = header.cpu();
  const auto* numbers = header.const_data_ptr<int64_t>();
  Layout layout{static_cast<at::ScalarType>(numbers[0]), {numbers + 2, numbers + 2 + numbers[1]}};
  return &layouts.emplace(stage, std::move(layout)).first->second;
}

}  // namespace levin
