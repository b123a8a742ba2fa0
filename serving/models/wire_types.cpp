#include <levin/serving/models/wire_types.h>

#include <array>

namespace levin {
namespace {

struct NumberType {
  WireType wire;
  at::ScalarType scalar;
  std::string_view dtype;
  enum class Kind { boolean, natural, integer, fraction } kind;
};

using Kind = NumberType::Kind;
constexpr std::array<NumberType, 13> kNumberTypes = {{
    {WireType::boolean, at::kBool, "bool", Kind::boolean},
    {WireType::uint8, at::kByte, "uint8", Kind::natural},
    {WireType::uint16, at::kUInt16, "uint16", Kind::natural},
    {WireType::uint32, at::kUInt32, "uint32", Kind::natural},
    {WireType::uint64, at::kUInt64, "uint64", Kind::natural},
    {WireType::int8, at::kChar, "int8", Kind::integer},
    {WireType::int16, at::kShort, "int16", Kind::integer},
    {WireType::int32, at::kInt, "int32", Kind::integer},
    {WireType::int64, at::kLong, "int64", Kind::integer},
    {WireType::fp16, at::kHalf, "float16", Kind::fraction},
    {WireType::bf16, at::kBFloat16, "bfloat16", Kind::fraction},
    {WireType::fp32, at::kFloat, "float32", Kind::fraction},
    {WireType::fp64, at::kDouble, "float64", Kind::fraction},
}};

const NumberType* find_number_type(WireType type) {
  for (const auto& each : kNumberTypes) {
    if (each.wire == type) return &each;
  }
  return nullptr;
}

}  // namespace

std::optional<at::ScalarType> scalar_type_of(WireType type) {
  const auto* found = find_number_type(type);
  if (found == nullptr) return {};
  return found->scalar;
}

std::optional<WireType> wire_type_of(at::ScalarType type) {
  for (const auto& each : kNumberTypes) {
    if (each.scalar == type) return each.wire;
  }
  return {};
}

std::optional<WireType> wire_type_of_dtype(std::string_view name) {
  for (const auto& each : kNumberTypes) {
    if (each.dtype == name) return each.wire;
  }
  return {};
}

bool converts(WireType from, WireType to) {
  const auto* a = find_number_type(from);
  const auto* b = find_number_type(to);
  if (a == nullptr || b == nullptr) return from == to;
  if (from == to || b->kind == Kind::fraction) return true;
  if (a->kind == Kind::fraction || b->kind == Kind::boolean) return false;
  if (a->kind == Kind::boolean) return true;
  const bool is_wider = c10::elementSize(a->scalar) < c10::elementSize(b->scalar);
  if (a->kind == b->kind) return is_wider;
  return a->kind == Kind::natural && is_wider;
}

}  // namespace levin
