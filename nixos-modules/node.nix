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
  # Nobody outside this machine has to know it.
  generated = [ "lookup-key" ];
  # All on the state partition: none is replaced by an upgrade or a rollback.
  defaults = {
    database = "sqlite:///var/lib/birthmark-node/node.db";
    genesis = "/var/lib/birthmark-node/genesis.toml";
    # How far this validator has signed. Not beside the database: whoever sets that folder back, from a copy or a snapshot,
    # must not set this back with it.
    signed_heights = "/var/lib/birthmark-guard/node.signed";
  };
  databaseSettings = name: { database = "postgres:///${name}?host=/run/postgresql"; };
  behind = networks: { http.trusted_proxies = networks; };
  backupCommand = "backup";
  # How far it has signed, as a validator, in the height that runs, and as a witness: restored together with the database, these
  # would be set back as well, and nothing would notice. And the keys of rows that wait, whose destruction is final. The daemon
  # puts them beside `signed_heights` where its settings do not say otherwise.
  neverInBackups =
    settings:
    let
      heights = settings.signed_heights;
      withoutEnding = builtins.match "(.*/[^/]+)\\.[^./]*" heights;
      stem = if withoutEnding == null then heights else builtins.head withoutEnding;
    in
    [
      heights
      (settings.row_keys or "${stem}.keys")
      (settings.network.log or "${stem}.consensus")
      (settings.witness.folder or "${stem}.witness")
    ];
  drillSettings = name: folder: onPostgresql: {
    database =
      if onPostgresql then
        "postgres:///${name}-drill?host=/run/postgresql"
      else
        "sqlite://${folder}/db/node.db";
    signed_heights = "${folder}/db/node.signed";
    row_keys = "${folder}/db/row-keys";
  };
  drillCommands = file: [
    "restore ${file}"
    "fsck"
  ];
  bodySize = "1m";
}
