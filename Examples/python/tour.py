"""A tour of StorageLab from Python: python3 tour.py DIRECTORY [ENGINE]"""

import sys

import storagelab


def main(path, engine="btree"):
    print("storagelab", storagelab.version(), ",".join(storagelab.engines()))
    with storagelab.open(path, engine=engine, durability="commit") as db:
        db[b"plane/1"] = b"Concorde"
        db[b"plane/2"] = b"Comet"
        db[b"empty"] = b""
        db[bytes(range(256))] = bytes(range(255, -1, -1))
        before = db.snapshot()
        with db.batch() as batch:
            batch[b"plane/3"] = b"Caravelle"
            del batch[b"plane/1"]
        print("now:", [value.decode() for _, value in db.scan(prefix=b"plane/")])
        print("before:", [value.decode() for _, value in before.scan(prefix=b"plane/")])
        print("backward:", [len(key) for key, _ in db.scan(reverse=True)])
        print("plane/1" if b"plane/1" in db else "no plane/1", before[b"plane/1"].decode())
        assert db[b"empty"] == b"" and db[bytes(range(256))][0] == 255
        before.close()
        try:
            db[b""] = b"x"
        except storagelab.Error as error:
            print(error.status + ":", error)
        db.delete_range(b"a", b"f")
        db.checkpoint()
        db.verify()
        print("engine:", db.properties()["engine"])
    try:
        db.get(b"plane/2")
    except storagelab.Error as error:
        print(error.status + ":", error)
    with storagelab.open(path, read_only=True) as again:
        print("again:", len(list(again.scan())), "entries")


if __name__ == "__main__":
    main(*sys.argv[1:])
