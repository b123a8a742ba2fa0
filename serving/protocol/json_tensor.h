#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include <levin/serving/protocol/json_document.h>
#include <levin/serving/protocol/wire_tensor.h>

namespace levin {

/// The most sizes that a shape may have.
inline constexpr size_t kMostDimensions = 32;

/// Reads the sizes of a tensor, the member `name` of `object`, whose value is given. `smallest` is
/// the least that a size may be. Throws Refusal (400) for anything but an array of such integers,
/// for more than 32 of them, and if the tensor would have more than 2^40 elements.
std::vector<int64_t> read_json_shape(simdjson::dom::element value, int64_t smallest,
                                     const JsonObject& object, std::string_view name);

/// Reads the elements, an array that is flat or nested in any way, into the data of `tensor`, whose
/// type and shape are known. `most` is a number of elements that the text can't exceed, its length,
/// so that a shape without data takes no memory. Floats that aren't finite are NaN, Infinity and
/// -Infinity, with or without quotes; null is NaN, too. `where` is what messages call the data.
/// Throws Refusal (400) if the number of elements isn't that of the shape, and for elements that
/// don't fit the type.
void read_json_data(simdjson::dom::element value, size_t most, std::string_view where,
                    WireTensor& tensor);

/// Does the same with a value that is itself the only element of `tensor`, a number.
void read_json_number(simdjson::dom::element value, std::string_view where, WireTensor& tensor);

/// Returns the number of elements of an array, also of those nested in it.
uint64_t count_json(simdjson::dom::array values);

}  // namespace levin
