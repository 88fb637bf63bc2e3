#include "ike/actions.h"

#include "crypto/key_exchange.h"
#include "crypto/signature.h"

namespace merlon::ike {

KeyExchangeDone run(const RunKeyExchange& action, Rng& rng) {
  KeyExchangeDone done;
  done.request = action.request;
  if (action.exchange == nullptr) {
    auto generated = crypto::KeyExchange::generate(action.method, rng);
    if (generated) {
      done.exchange = std::move(*generated);
    } else {
      done.shared_secret = tl::unexpected(std::move(generated).error());
    }
    return done;
  }
  done.exchange = action.exchange;
  done.shared_secret = action.exchange->derive(action.peer_public_value);
  return done;
}

SignDone run(const SignRequest& action) {
  SignDone done;
  done.request = action.request;
  if (action.key == nullptr) {
    done.signature =
        fail(ErrorCode::kNotFound, "connection '{}' has no private key to sign with", action.connection);
    return done;
  }
  done.signature = crypto::sign(*action.key, action.scheme, action.octets);
  return done;
}

}  // namespace merlon::ike
