#include <levin/framework/data/batch.h>

#include <levin/framework/core/error.h>

#include <string>
#include <utility>

namespace levin {
namespace {

[[noreturn]] void throw_no_such_tensor(std::string_view name, const NamedRows& entries) {
  std::vector<std::string> names;
  for (const auto& entry : entries) names.push_back(entry.first);
  throw DataError::no_such_tensor(name, names);
}

// The tensor of rows in a batch that may be changed: the rows become that tensor.
torch::Tensor own_tensor(Rows& rows) {
  if (rows.is_dense()) return rows.source();
  auto tensor = rows.tensor();
  rows = tensor;  // sparse rows share the values of their tensor
  return tensor;
}

bool is_in_part(std::string_view full_name, std::string_view part) {
  return full_name.size() > part.size() && full_name.starts_with(part) &&
         full_name[part.size()] == '/';
}

}  // namespace

Batch::Batch(NamedTensors tensors) {
  entries_.reserve(tensors.size());
  for (auto& [name, tensor] : tensors) entries_.emplace_back(std::move(name), std::move(tensor));
}

const Rows* Batch::find(std::string_view name) const {
  for (const auto& entry : entries_) {
    if (entry.first == name) return &entry.second;
  }
  return nullptr;
}

torch::Tensor Batch::operator[](std::string_view name) const {
  const Rows* rows = find(name);
  if (rows == nullptr) throw_no_such_tensor(name, entries_);
  return rows->tensor();
}

torch::Tensor Batch::operator[](std::string_view name) {
  const Rows* rows = std::as_const(*this).find(name);
  if (rows == nullptr) throw_no_such_tensor(name, entries_);
  return own_tensor(const_cast<Rows&>(*rows));
}

torch::Tensor Batch::input() { return own_tensor(const_cast<Rows&>(input_rows())); }

const NamedTensors Batch::tensors() {
  for (auto& entry : entries_) own_tensor(entry.second);
  return std::as_const(*this).tensors();
}

const NamedTensors Batch::tensors() const {
  NamedTensors tensors;
  tensors.reserve(entries_.size());
  for (const auto& [name, rows] : entries_) tensors.emplace_back(name, rows.tensor());
  return tensors;
}

const Rows& Batch::input_rows() const {
  const Rows* input = find("input");
  if (input != nullptr) return *input;
  if (entries_.empty()) throw_no_such_tensor("input", entries_);
  return entries_.front().second;
}

Batch Batch::part(std::string_view name) const {
  Batch part;
  for (const auto& [full_name, rows] : entries_) {
    if (is_in_part(full_name, name)) {
      part.entries_.emplace_back(full_name.substr(name.size() + 1), rows);
    }
  }
  if (part.entries_.empty()) throw_no_such_tensor(std::string(name) + "/...", entries_);
  if (is_in_part(entries_.front().first, name)) part.row_ids_ = row_ids_;
  part.loader_index_ = loader_index_;
  return part;
}

bool Batch::has_part(std::string_view name) const {
  for (const auto& entry : entries_) {
    if (is_in_part(entry.first, name)) return true;
  }
  return false;
}

void Batch::set(std::string_view name, Rows rows) {
  for (auto& entry : entries_) {
    if (entry.first != name) continue;
    entry.second = std::move(rows);
    return;
  }
  entries_.emplace_back(std::string(name), std::move(rows));
}

Batch Batch::to(at::Device device, bool non_blocking) const {
  Batch moved = *this;
  for (auto& entry : moved.entries_) entry.second = entry.second.to(device, non_blocking);
  return moved;
}

Batch Batch::pin_memory() const {
  Batch pinned = *this;
  for (auto& entry : pinned.entries_) entry.second = entry.second.pin_memory();
  return pinned;
}

}  // namespace levin
