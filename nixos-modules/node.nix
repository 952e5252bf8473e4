# birthmark-node: the validator.
import ./server.nix {
  daemon = "node";
  port = 8545;
  about = "the Birthmark validator node";
  credentials = {
    vote-key = "the key this validator signs blocks with";
    checkpoint-key = "the key this validator signs checkpoints with";
    lookup-key = "the key that hides in the database which photos share a camera";
  };
  # Both on the state partition: neither is replaced by an upgrade or a rollback.
  defaults = {
    database = "sqlite:///var/lib/birthmark-node/node.db";
    genesis = "/var/lib/birthmark-node/genesis.toml";
  };
  databaseSettings = name: {
    database = "postgres:///${name}?host=/run/postgresql";
    # How far this validator has signed stays on this machine, whatever database it is given.
    signed_heights = "/var/lib/birthmark-node/node.signed";
  };
  behind = networks: { http.trusted_proxies = networks; };
  backupCommand = "backup";
  bodySize = "1m";
}
