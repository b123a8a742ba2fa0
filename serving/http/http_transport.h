#pragma once

#include <memory>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>

#include <levin/serving/http/server_connection.h>

namespace levin {

/// A connection over TCP, or over TLS if `tls` isn't null.
std::shared_ptr<ServerConnection> make_server_connection(HttpWorker& worker,
                                                         boost::asio::ip::tcp::socket socket,
                                                         boost::asio::ssl::context* tls);

}  // namespace levin
