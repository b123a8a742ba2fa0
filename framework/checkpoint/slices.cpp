#include <levin/framework/checkpoint/slices.h>

#include <utility>

namespace levin {

Value to_value(const TensorSlice& slice) {
  Value::Array shape;
  for (const int64_t size : slice.shape) shape.push_back(size);
  return Value::Object{{"shape", std::move(shape)}, {"begin", slice.begin}, {"end", slice.end}};
}

TensorSlice to_slice(const Value& value) {
  TensorSlice slice;
  for (const auto& size : value.at("shape").as_array()) slice.shape.push_back(size.as_int());
  slice.begin = value.at("begin").as_int();
  slice.end = value.at("end").as_int();
  return slice;
}

}  // namespace levin
