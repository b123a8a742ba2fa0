#pragma once

#include <string>
#include <vector>

#include <levin/serving/http/http_message.h>
#include <levin/serving/protocol/model_metadata.h>
#include <levin/serving/service/addresses.h>

namespace levin {

/// Returns a file of the page on which models are tried by hand: page, page_style or page_script.
/// Its headers allow nothing but the service's own files and addresses.
HttpResponse page_file(ServiceAction action);

/// Returns what the page must know of the models, as JSON:
///
///     {"models": [{"name", "version", "kind": "numbers"|"image"|"table", "class_names": [text],
///                  "columns": [text], "features": numbers a row (0: not known),
///                  "image": {"width", "height", "channels", "scale": the value of white / 255}}]}
///
/// An image whose size can't be told from the shape of the model's input is of kind "numbers".
std::string page_models(const std::vector<ModelMetadata>& models);

}  // namespace levin
