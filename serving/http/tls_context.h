#pragma once

#include <memory>
#include <string>

#include <boost/asio/ssl/context.hpp>

namespace levin {

/// What a server needs for TLS 1.2 and 1.3, from its certificate chain and its private key, two
/// PEM files. Throws ConfigError if they can't be read or don't belong together.
std::unique_ptr<boost::asio::ssl::context> make_tls_context(const std::string& certificate,
                                                            const std::string& key);

}  // namespace levin
