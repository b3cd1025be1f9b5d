"""Small fabricated copies of published eye movements: true file names, keys, dtypes and orders."""

import json

import numpy as np
import pandas as pd
from PIL import Image
from scipy.io import savemat

OSIE_IMAGES = ("1001.jpg", "1002.jpg", "1004.jpg")


def make_osie(root, *, published=False, seed=0):
    """Three images, 15 people; the second person did not look at the third image at all."""
    rng = np.random.default_rng(seed)
    folder = root / "osie_freeviewing"
    images = folder / ("data/stimuli" if published else "stimuli")
    images.mkdir(parents=True)
    rows, cells = [], np.empty((len(OSIE_IMAGES), 1), dtype=object)
    for place, name in enumerate(OSIE_IMAGES):
        Image.fromarray(rng.integers(0, 255, (600, 800, 3), dtype="u1")).save(images / name)
        people = np.empty((15, 1), dtype=object)
        for person in range(15):
            n = 0 if (person, place) == (1, 2) else int(rng.integers(1, 5))
            x, y = rng.uniform(0, 799, n).round(1), rng.uniform(0, 599, n).round(1)
            duration = rng.integers(50, 400, n)
            people[person, 0] = {"fix_x": x[None], "fix_y": y[None], "fix_duration": duration[None]}
            rows += [(name, person + 1, k + 1, x[k], y[k], duration[k]) for k in range(n)]
        cells[place, 0] = {"img": name, "subjects": people}
    if published:
        (folder / "data" / "eye").mkdir()
        savemat(folder / "data" / "eye" / "fixations.mat", {"fixations": cells})
    else:
        columns = ["image", "subject", "fix_index", "x_px", "y_px", "duration_ms"]
        pd.DataFrame(rows, columns=columns).to_csv(folder / "fixations.tsv", sep="\t", index=False)
    return root


def make_interiors_search(root, *, seed=0):
    """Two scenes, three people; S02 saw the first one twice."""
    rng = np.random.default_rng(seed)
    folder = root / "interiors_search"
    for name in ("images", "templates"):
        (folder / name).mkdir(parents=True)
    trials = []
    for place, scene in enumerate(("grayscale_1_a", "grayscale_2_b")):
        Image.new("L", (1024, 768), 90).save(folder / "images" / f"{scene}.jpg")
        Image.new("L", (72, 72), 200).save(folder / "templates" / f"{scene}_template_1.jpg")
        left, top = 100.0 + 300 * place, 50.0 + 400 * place
        for person in ("S01", "S02", "S02", "S03") if place == 0 else ("S01", "S02", "S03"):
            n = int(rng.integers(2, 6))
            trials.append(
                {
                    "subject": person,
                    "image": f"{scene}.jpg",
                    "target": f"{scene}_template_1.jpg",
                    "trial_order": len(trials) + 1,
                    "image_size": [768.0, 1024.0],
                    "screen_size": [960.0, 1280.0],
                    "screen_rect": [-128.0, -96.0, 1152.0, 864.0],
                    "target_center": [left + 36, top + 36],
                    "target_rect": [left, top, left + 72, top + 72],
                    "nsaccades_allowed": 4,
                    "initial_position": [512.0, 300.0],
                    "target_found": n % 2,
                    "search_rt_s": 0.5 * n,
                    "reported_position": [left, top],
                    "reported_uncertainty_size": 40.0,
                    # The last one was clamped to the border.
                    "fix_x": [*rng.uniform(0, 1023, n - 1).round(1), 1024.0],
                    "fix_y": [*rng.uniform(0, 767, n - 1).round(1), 768.0],
                    "fix_dur_ms": rng.integers(60, 400, n).astype(float).tolist(),
                }
            )
    text = "\n".join(json.dumps(trial) for trial in trials)
    (folder / "trials.jsonl").write_text(text + "\n")
    return root


def make_coco_search18(root, *, images=True, seed=0):
    """Two files as published: target present (bbox, one fixation below the screen) and absent (no RT)."""
    rng = np.random.default_rng(seed)
    folder = root / "coco_search18"
    folder.mkdir(parents=True)
    kinds = {
        "present": ("TP_train_split1", "images", "train", (("potted plant", "000000000001.jpg"),)),
        "absent": (
            "TA_trainval",
            "coco_search18_images_TA",
            "valid",
            (("tv", "000000000001.jpg"), ("tv", "000000000002.jpg")),
        ),
    }
    for condition, (file, pictures, split, shown) in kinds.items():
        trials = []
        for task, name in shown:
            if images:
                (folder / pictures / task).mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (1680, 1050), (10, 20, 30)).save(folder / pictures / task / name)
            for person in (1, 2, 10):
                n = int(rng.integers(1, 5))
                trial = {
                    "name": name,
                    "subject": person,
                    "task": task,
                    "condition": condition,
                    "X": [840.0, *rng.uniform(0, 1679, n).round(1)],
                    "Y": [525.0, *rng.uniform(0, 1049, n - 1).round(1), 1217.7],
                    "T": rng.integers(50, 400, n + 1).tolist(),
                    "length": n + 1,
                    "correct": int(person != 2),
                    "split": split,
                }
                if condition == "present":
                    trial |= {"bbox": [100, 200, 50, 60], "RT": 700}
                trials.append(trial)
        (folder / f"coco_search18_fixations_{file}.json").write_text(json.dumps(trials))
    return root


def make_sti_amazon(root, *, seed=0):
    """Two collages; the first names its target in a list of one, the second as a bare record."""
    rng = np.random.default_rng(seed)
    folder = root / "sti_amazon"
    folder.mkdir(parents=True)
    collages = {}
    for place, (height, width) in enumerate(((1600, 2559), (1590, 2560))):
        box = {"xmin": 366, "xmax": 520, "ymin": 20, "ymax": 262}
        people = {
            str(person): rng.integers((0, 0), (width, height), (int(rng.integers(2, 8)), 2)).tolist()
            for person in range(1, 7)
        }
        collages[f"{place + 1}.jpg"] = {
            "fixations": people,
            "ground_truth": [box] if place == 0 else box,
            "size": {"height": height, "width": width},
            "target": f"target_{place}.jpg",
        }
    (folder / "Amazon.json").write_text(json.dumps(collages))
    return root


def make_gaze_reading(root, *, seed=0):
    """Two pages of two seconds in the format of the shared samples."""
    rng = np.random.default_rng(seed)
    folder = root / "gaze_samples_reading"
    folder.mkdir(parents=True)
    for name, start in (("trial_0_1", 1988145), ("trial_2_5", 77)):
        table = pd.DataFrame({"timestamp": start + np.arange(2000.0)})
        table["x"] = (200 + rng.normal(scale=0.3, size=2000)).round(2)
        table["y"] = (150 + rng.normal(scale=0.3, size=2000)).round(2)
        table["stimuli_x"] = table["stimuli_y"] = -1.0
        table.to_csv(folder / f"{name}.csv", sep="\t", index=False)
    return root
