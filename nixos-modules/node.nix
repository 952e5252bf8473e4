# birthmark-node: the validator.
import ./server.nix {
  daemon = "node";
  port = 8545;
  about = "the Birthmark validator node";
  credentials = {
    vote-key = "the key this validator signs blocks with";
    checkpoint-key = "the key this validator signs checkpoints with";
  };
  databaseSettings = name: { database = "postgres:///${name}?host=/run/postgresql"; };
}
