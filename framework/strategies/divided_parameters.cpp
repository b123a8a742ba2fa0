#include <levin/framework/strategies/divided_parameters.h>

#include <algorithm>
#include <limits>
#include <map>
#include <utility>

#include <ATen/Functions.h>
#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>
#include <fmt/format.h>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>

#include <levin/framework/collectives/process_group.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/profiling/communication_log.h>
#include <levin/framework/tensor/torch_error.h>

namespace levin {
namespace {

constexpr size_t kNone = std::numeric_limits<int32_t>::max();  // a rank asks for no unit any more

/// The numbers of the layers that the parameters are of, by their names.
std::vector<size_t> layers_of(const std::vector<std::string>& names) {
  std::vector<size_t> layers;
  std::map<std::string, size_t> numbers;
  for (const auto& name : names) {
    const auto point = name.rfind('.');
    const std::string layer = point == name.npos ? name : name.substr(0, point + 1);
    layers.push_back(numbers.emplace(layer, numbers.size()).first->second);
  }
  return layers;
}

bool contains(const std::vector<size_t>& list, size_t number) {
  return std::find(list.begin(), list.end(), number) != list.end();
}

}  // namespace

/// A buffer of parameters: what this rank keeps of it, and all of it for as long as it is needed.
struct DividedParameters::Unit {
  const FlatParameters::Buffer* buffer = nullptr;
  const FlatParameters* parameters = nullptr;
  std::unique_ptr<DividedMemory> memory;
  torch::Tensor arriving;  // while it is gathered
  double begun = 0.0;      // the moment at which that began, for the profiler
  c10::intrusive_ptr<c10d::Work> work;

  int64_t bytes() const { return static_cast<int64_t>(buffer->flat.nbytes()); }
};

/// The order in which a pass gathers units.
struct DividedParameters::Order {
  std::vector<size_t> units;   // that all ranks gather first
  std::vector<size_t> agreed;  // the ones after those, in this pass
  size_t next = 0;             // in `units`
};

DividedParameters::DividedParameters(ProcessGroup* group, const NamedTensors& parameters,
                                     Options options)
    : group_(group),
      options_(std::move(options)),
      forward_(std::make_unique<Order>()),
      backward_(std::make_unique<Order>()),
      evaluation_(std::make_unique<Order>()) {
  for (const bool is_trained : {true, false}) {
    std::vector<std::string> names;
    std::vector<torch::Tensor> chosen;
    for (const auto& [name, parameter] : parameters) {
      if (parameter.requires_grad() != is_trained) continue;
      names.push_back(name);
      chosen.push_back(parameter);
    }
    if (chosen.empty()) continue;
    auto& flat = is_trained ? trained_ : fixed_;
    flat = std::make_unique<FlatParameters>(std::move(chosen), group ? group->rank() : 0,
                                            group ? group->world_size() : 1, options_.unit_bytes,
                                            layers_of(names));
    for (const auto& buffer : flat->buffers()) {
      names_.push_back(
          names[*std::min_element(buffer.parameters.begin(), buffer.parameters.end())]);
    }
    divide(flat);
  }
  watch_operations(true);
}

void DividedParameters::divide(std::unique_ptr<FlatParameters>& flat) {
  flat->separate_own_chunks();
  for (const auto& buffer : flat->buffers()) {
    auto unit = std::make_unique<Unit>();
    unit->buffer = &buffer;
    unit->parameters = flat.get();
    unit->memory = std::make_unique<DividedMemory>(buffer.flat, static_cast<MemoryOwner&>(*this),
                                                   units_.size());
    units_.push_back(std::move(unit));
  }
}

DividedParameters::~DividedParameters() { watch_operations(false); }

void DividedParameters::begin(Pass pass) {
  order_ = pass == Pass::forward    ? forward_.get()
           : pass == Pass::backward ? backward_.get()
                                    : evaluation_.get();
  order_->agreed.clear();
  order_->next = 0;
  if (pass != Pass::backward) free_all();
  most_gathered_ = std::max(most_gathered_, gathered_);
  start_next();
}

void DividedParameters::end() {
  Order& order = *order_;
  for (; order.next < order.units.size(); ++order.next) drop(order.units[order.next]);
  for (size_t unit = agree(kNone); unit != kNone; unit = agree(kNone)) drop(unit);
  if (!order.agreed.empty()) {
    // Units that weren't foreseen make the next pass agree on all of them.
    order.units = order.units.empty() ? order.agreed : std::vector<size_t>();
  }
  if (order_ != forward_.get()) free_all();
  order_ = nullptr;
}

/// Gathers the units that an operation uses.
void DividedParameters::prepare(const std::vector<size_t>& numbers, const char* operation,
                                bool writes) {
  if (holds_ > 0) return;
  if (order_ == nullptr || writes) {
    throw ModuleError::contract(
        fmt::format("{} on '{}'", operation, name_of(numbers.front())),
        order_ == nullptr
            ? "the values of the parameters are divided among the ranks outside of the module's "
              "steps, with strategy = zero_stage_3"
            : "a step changes a parameter, of which this rank has only a copy, with strategy = "
              "zero_stage_3",
        "make the parameters whole by levin::WholeTensors, on every rank, or use strategy = "
        "zero_stage_2");
  }
  for (const size_t unit : numbers) {
    if (!units_[unit]->memory->is_filled()) get(unit, numbers);
  }
}

/// Gathers a unit that this rank asks for; `used` are all that the operation uses.
void DividedParameters::get(size_t unit, const std::vector<size_t>& used) {
  Order& order = *order_;
  keep_only(used);
  while (order.next < order.units.size()) {
    const size_t next = order.units[order.next++];
    if (next != unit) {
      drop(next);
      continue;
    }
    start(unit);
    finish(unit);
    start_next();
    return;
  }
  for (;;) {
    const size_t agreed = agree(unit);
    if (agreed != unit) {
      drop(agreed);
      continue;
    }
    start(unit);
    return finish(unit);
  }
}

void DividedParameters::keep_only(const std::vector<size_t>& used) {
  for (size_t i = 0; i < units_.size(); ++i) {
    if (!contains(used, i)) free(i);
  }
}

/// Gathers a unit that only other ranks ask for.
void DividedParameters::drop(size_t unit) {
  const bool was_filled = units_[unit]->memory->is_filled();
  start(unit);
  finish(unit);
  if (!was_filled) free(unit);
}

void DividedParameters::start_next() {
  if (order_->next < order_->units.size()) start(order_->units[order_->next]);
}

/// What this rank sends to gather a unit.
int64_t DividedParameters::chunk_bytes(const Unit& unit) const {
  const auto own = static_cast<int64_t>(unit.buffer->own.nbytes());
  return ExchangeLog::gathered_bytes(own, group_->world_size());
}

/// Begins to gather a unit, unless that has begun.
void DividedParameters::start(size_t number) {
  Unit& unit = *units_[number];
  if (unit.arriving.defined()) return;
  const at::NoGradGuard no_grad;
  const c10::InferenceMode plain(false);
  const auto& buffer = *unit.buffer;
  unit.arriving = at::empty({buffer.flat.numel()}, buffer.own.options());
  gathered_ += unit.bytes();
  most_gathered_ = std::max(most_gathered_, gathered_);
  if (group_ == nullptr) {
    unit.arriving.copy_(buffer.own);
    return;
  }
  if (group_->exchanges().is_on()) unit.begun = files::monotonic_seconds();
  sent_ += chunk_bytes(unit);
  auto all = unit.arriving.view(at::kByte);  // because backends know few types
  auto own = buffer.own.view(at::kByte);
  unit.work = group_->c10d_group()->_allgather_base(all, own);
}

/// Waits for a unit, and gives the parameters its memory.
void DividedParameters::finish(size_t number) {
  Unit& unit = *units_[number];
  if (unit.work) {
    const bool is_recorded = group_->exchanges().is_on();
    const double asked = is_recorded ? files::monotonic_seconds() : 0.0;
    if (options_.on_wait) options_.on_wait(true);
    try {
      unit.work->wait();
    } catch (const std::exception& error) {
      if (options_.on_wait) options_.on_wait(false);
      throw DistributedError(fmt::format("rank {}: gathering the parameters of '{}': {}",
                                         group_->rank(), name_of(number), plain_message(error)));
    }
    if (options_.on_wait) options_.on_wait(false);
    unit.work.reset();
    if (is_recorded) {
      const double now = files::monotonic_seconds();
      group_->exchanges().add({.kind = ExchangeKind::layers,
                               .begin = unit.begun,
                               .end = now,
                               .waiting = now - asked,
                               .bytes = chunk_bytes(unit)});
    }
  }
  if (unit.memory->is_filled()) {  // the values that have arrived are the same
    unit.arriving.reset();
    gathered_ -= unit.bytes();
    return;
  }
  unit.memory->fill(std::exchange(unit.arriving, {}));
}

void DividedParameters::free(size_t number) {
  Unit& unit = *units_[number];
  if (!unit.memory->is_filled()) return;
  unit.memory->free();
  gathered_ -= unit.bytes();
}

void DividedParameters::free_all() {
  if (holds_ == 0) keep_only({});
}

/// Tells the other ranks which unit this rank asks for, and returns the one that all gather.
size_t DividedParameters::agree(size_t wanted) {
  size_t unit = wanted;
  if (group_ != nullptr) {
    const c10::InferenceMode plain(false);
    if (options_.on_wait) options_.on_wait(true);
    const auto number = at::full({1}, static_cast<int64_t>(wanted), at::kLong);
    const auto bytes = static_cast<int64_t>(number.nbytes());
    group_->exchanges().record(ExchangeKind::layers, bytes,
                               [&] { group_->all_reduce(number, ProcessGroup::Op::min); });
    sent_ += bytes;
    unit = static_cast<size_t>(number.item<int64_t>());
    if (options_.on_wait) options_.on_wait(false);
  }
  if (unit != kNone) order_->agreed.push_back(unit);
  return unit;
}

void DividedParameters::make_whole() {
  if (order_ != nullptr && group_ != nullptr) {  // other ranks may be elsewhere in the pass
    throw ModuleError::contract("WholeTensors", "was made within a step",
                                "make it between two steps, such as in on_train_batch_end");
  }
  for (size_t i = 0; holds_ == 0 && i < units_.size(); ++i) {
    if (units_[i]->memory->is_filled()) continue;
    start(i);
    finish(i);
  }
  ++holds_;
}

void DividedParameters::divide() {
  if (--holds_ > 0) return;
  const at::NoGradGuard no_grad;
  const c10::InferenceMode plain(false);
  const int64_t rank = group_ != nullptr ? group_->rank() : 0;
  for (auto& unit : units_) {
    const auto& buffer = *unit->buffer;
    buffer.own.copy_(unit->memory->whole().narrow(0, rank * buffer.chunk, buffer.chunk));
  }
  free_all();
}

void DividedParameters::release() {
  make_whole();
  for (const auto& unit : units_) unit->memory->keep();
}

const ParameterSlice* DividedParameters::slice_of(const torch::Tensor& tensor) const {
  for (const auto* flat : {trained_.get(), fixed_.get()}) {
    if (flat == nullptr) continue;
    const auto& all = flat->parameters();
    for (size_t i = 0; i < all.size(); ++i) {
      const bool is_it = all[i].is_alias_of(tensor) &&
                         all[i].storage_offset() == tensor.storage_offset() &&
                         all[i].sizes() == tensor.sizes();
      if (is_it) return &flat->slices()[i];
    }
  }
  return nullptr;
}

std::vector<int64_t> DividedParameters::unit_sizes() const {
  std::vector<int64_t> sizes;
  for (const auto& unit : units_) sizes.push_back(unit->bytes());
  return sizes;
}

std::string DividedParameters::name_of(size_t unit) const { return names_[unit]; }

}  // namespace levin
